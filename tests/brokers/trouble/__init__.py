"""What becomes of a carrier when servers, connections and members fail, as tests that run on each of them.

They ask for the fixtures of `tests/brokers/conftest.py`. Whoever has an ability is held to it here as in the public
suite; what a carrier claims decides what a history of it may show (`tests/brokers/judging.py`).
"""

# ruff: noqa: F403  # the suite is this file's content

from tests.brokers.trouble.cut import *
from tests.brokers.trouble.frozen import *
from tests.brokers.trouble.killed import *
from tests.brokers.trouble.members import *
from tests.brokers.trouble.refused import *
from tests.brokers.trouble.services import *

__all__ = [name for name in globals() if name.startswith("test_")]  # the runner finds what stands here
