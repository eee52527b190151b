"""What the tests of traces start from: the world outside, and the application in it."""

from collections.abc import AsyncIterator

import pytest

from tests.handling.trace.stage import World, services
from tidings import App


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def shop(app: App, world: World) -> AsyncIterator[App]:
    """The application, running."""
    services(app, world)
    async with app.running():
        yield app
