"""What tests of handling start from: an application on each log, a clock that a test moves, the lines of the log."""

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidings import App
from tidings.clock import ManualClock

_names = itertools.count()
NewApp = Callable[..., App]


@pytest.fixture(params=["memory", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    return {"memory": f"memory:handling-{next(_names)}", "sqlite": f"sqlite:///{tmp_path}/log.db"}[kind]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def new_app(url: str, clock: ManualClock) -> NewApp:
    """`new_app()`: another application on the log of this test, as another process would be."""

    def new_app(name: str = "shop", **settings: Any) -> App:
        return App(name, url, clock=clock, **settings)

    return new_app


@pytest.fixture
def app(new_app: NewApp) -> App:
    return new_app()


@pytest.fixture(autouse=True)
def reports(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What handling reports; pytest's own handlers would block the event loop with their files."""
    logger = logging.getLogger("tidings")
    caplog.handler.setLevel(logging.DEBUG)
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield caplog
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(caplog.handler)
