"""What every test stands on: async tests, blocking calls found, chance that can be replayed.

An `async def` test or fixture runs on asyncio without a marker, each test on a fresh loop (anyio's plugin, auto mode).
A test looks at files and databases from a thread, as the code it tests: `await asyncio.to_thread(path.read_bytes)`.
"""

import os
import random
import traceback
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from blockbuster import BlockBuster, BlockingError
from blockbuster import blockbuster as detector

# what fails in a suite is explained like what fails in a test file
pytest.register_assert_rewrite("tidings.testing.broker_conformance", "tests.brokers.trouble", "tests.brokers.judging")
pytest_plugins = [
    "tests.servers.fixtures",  # private servers, started when a test asks for one
    "tests.servers.logs",
    "tests.spreading",
]

MAY_BLOCK = [  # end of the file's path, functions: each with the reason why it may block the event loop
    # A hang is reported from inside the loop that hangs; without this the report itself would be the error.
    ("pytest_timeout.py", {"timeout_sigalrm"}),
    # Explaining a failure, hypothesis traces the test and asks the disk whose file each line is in.
    ("hypothesis/internal/scrutineer.py", {"trace", "trace_line"}),
    # A connection of the user's own is used where the user uses it, on the event loop too.
    ("tidings/log/sqlite/existing.py", {"existing_transaction"}),
    ("tidings/app/transaction.py", {"publish"}),
]

_ASKED = os.environ.get("TIDINGS_SEED") or "1"  # the same choices in every `make test`; others in each `make chaos`
IS_RANDOM = _ASKED == "random"
SEED = random.SystemRandom().randrange(2**32) if IS_RANDOM else int(_ASKED)

hypothesis.settings.register_profile("random", deadline=None, print_blob=True)
hypothesis.settings.register_profile("fixed", deadline=None, print_blob=True, derandomize=True, database=None)
hypothesis.settings.load_profile("random" if IS_RANDOM else "fixed")


def pytest_report_header() -> str:
    return f"tidings: TIDINGS_SEED={SEED} repeats this run's random choices"


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "trials" in getattr(item, "fixturenames", ()):
            item.add_marker("trials")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def seed() -> int:
    """The number that this run's chance grows from: `random.Random(seed)`; printed again with a failure."""
    print(f"repeat with TIDINGS_SEED={SEED}")
    return SEED


@pytest.fixture
def trials() -> Callable[[int], int]:
    """`trials(50)`: how often to try, 50 in `make test` and many more in `make chaos` (TIDINGS_TRIALS)."""
    return lambda usual: int(os.environ.get("TIDINGS_TRIALS") or usual)


@pytest.fixture(scope="session", autouse=True)
def detect_blocking() -> Iterator[list[str]]:
    """Raise where code blocks the event loop, and keep what was found: a retry policy may swallow the error."""
    found: list[str] = []

    class Found(BlockingError):
        def __init__(self, call: str) -> None:
            super().__init__(call)
            found.append(f"{call}\n{''.join(traceback.format_stack(limit=12)[:-2])}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "BlockingError", Found)
        blockbuster = BlockBuster()
        for call in blockbuster.functions.values():
            for file, functions in MAY_BLOCK:
                call.can_block_in(file, functions)
        blockbuster.activate()
        yield found
        blockbuster.deactivate()


@pytest.fixture(autouse=True)
def blocking_calls(detect_blocking: list[str]) -> Iterator[list[str]]:
    """What blocked the event loop during this test; whatever is left in it at the end fails the test."""
    detect_blocking.clear()
    yield detect_blocking
    if detect_blocking:
        pytest.fail(f"blocked the event loop, {len(detect_blocking)} in all, first {detect_blocking[0]}", pytrace=False)
