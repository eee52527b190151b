"""The promises of `Broker`, as plain test functions: what every carrier keeps, and what it claims in `Capabilities`.

A broker's test file is three fixtures and one import; nothing here needs pytest. An async runner such as anyio's plugin
must run `async def` tests. Each module holds one subject; the import brings the tests of all and nothing else.

    from tidings.testing.broker_conformance import *

`connect`        `await connect()` is another connection to the carrier of this test, which is empty at its beginning;
                 closed by the fixture afterwards
`capabilities`   what the carrier is held to
`restart`        `await restart()` ends the carrier, to which nobody is connected then, and begins it again

A claim is checked both ways where that can be seen from outside: `durable`, `groups`, `replay` and `max_size` fail when
claimed falsely and when denied falsely. `order`, `atomic`, `delay`, `dead_letters`, `lag`, `remembers` and `forgets`
fail when claimed falsely; a carrier that claims none of them may happen to behave. `fsync` cannot be seen through this
seam.
"""

# ruff: noqa: F403, I001  # the suite is this file's content, in the order in which a new broker comes to keep its promises

from tidings.testing.broker_conformance.carrying import *
from tidings.testing.broker_conformance.publishing import *
from tidings.testing.broker_conformance.hearing import *
from tidings.testing.broker_conformance.groups import *
from tidings.testing.broker_conformance.settling import *
from tidings.testing.broker_conformance.answering import *
from tidings.testing.broker_conformance.starting import *
from tidings.testing.broker_conformance.ordering import *
from tidings.testing.broker_conformance.ending import *

__all__ = [name for name in globals() if name.startswith("test_")]  # the runner finds what stands here
