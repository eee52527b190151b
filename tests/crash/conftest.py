"""What crash tests start from: children that end with their test, a log's place, and chance from the seed."""

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.processes import Children, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("publisher", ...)`: a child process."""
    with Children(tmp_path) as children:
        yield children.start


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log.db"


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """A test's own chance: the same for a seed, whatever other tests draw."""
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture(autouse=True)
def reports(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What readers report is shown with a failure; pytest's own log file would block the event loop."""
    logger = logging.getLogger("tidings")
    logger.addHandler(caplog.handler)
    logger.propagate = False
    yield
    logger.propagate = True
    logger.removeHandler(caplog.handler)
