"""The pytest plugin, found by its entry point: fixtures for tests of applications, whatever runs their coroutines.

Loading it costs next to nothing, as pytest does so in every run: what the fixtures need is imported when they are used.
They are plain fixtures, so they go with pytest-asyncio, with anyio's plugin, and with none of them.
"""

import functools
import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tidings import App
    from tidings.clock import ManualClock
    from tidings.testing.application import TestApp

_used = pytest.StashKey[bool]()


@pytest.fixture
def tidings_seed(request: pytest.FixtureRequest) -> int:
    """The number that this run's chance grows from; a test that fails says how to repeat it."""
    request.node.stash[_used] = True
    return _seed()


@pytest.fixture
def manual_clock() -> "ManualClock":
    """A clock that stands still until the test moves it."""
    from tidings.clock import ManualClock

    return ManualClock()


@pytest.fixture
def tidings_app(manual_clock: "ManualClock") -> "Callable[..., TestApp]":
    """`async with tidings_app(app) as test:` is `TestApp(app)` with the test's `manual_clock`; it takes its options."""
    from tidings.testing.application import TestApp

    def start(app: "App", **options: Any) -> TestApp:
        return TestApp(app, **{"clock": manual_clock, **options})

    return start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test that used the seed shows it."""
    report = yield
    if report.failed and item.stash.get(_used, False):
        report.sections.append(("tidings", f"repeat its choices with TIDINGS_SEED={_seed()}"))
    return report


@functools.cache
def _seed() -> int:
    asked = os.environ.get("TIDINGS_SEED", "")
    return random.SystemRandom().randrange(2**32) if asked in ("", "random") else int(asked)
