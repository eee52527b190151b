"""The promises of `Log` and `Ledger`, as plain test functions: what every log keeps, whoever wrote it.

A log's test file is five fixtures and one import; nothing here needs pytest. An async runner such as anyio's plugin
must run `async def` tests. Each module holds one subject; the import brings the tests of all and nothing else.

    from tidings.testing.log_conformance import *

`log`       a new, empty log, opened with `clock`; closed by the fixture afterwards
`clock`     the ManualClock it was opened with
`reopen`    `await reopen()` opens the same log again, beside the first or after it, as another process would
`connect`   `connect()` is a new connection of its driver to the log's database; never called where it has no SQL
`durable`   does the log outlive the last one who has it open? Claimed falsely or denied falsely, a test fails
"""

# ruff: noqa: F403, I001  # the suite is this file's content, in the order in which a new log comes to keep its promises

from tidings.testing.log_conformance.appending import *
from tidings.testing.log_conformance.repeating import *
from tidings.testing.log_conformance.streams import *
from tidings.testing.log_conformance.positions import *
from tidings.testing.log_conformance.reading import *
from tidings.testing.log_conformance.following import *
from tidings.testing.log_conformance.lanes import *
from tidings.testing.log_conformance.settling import *
from tidings.testing.log_conformance.parked import *
from tidings.testing.log_conformance.operators import *
from tidings.testing.log_conformance.existing import *
from tidings.testing.log_conformance.watching import *
from tidings.testing.log_conformance.timers import *
from tidings.testing.log_conformance.lineage import *
from tidings.testing.log_conformance.retention import *
from tidings.testing.log_conformance.adopting import *
from tidings.testing.log_conformance.durability import *

__all__ = [name for name in globals() if name.startswith("test_")]  # the runner finds what stands here
