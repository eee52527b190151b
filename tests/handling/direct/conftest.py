"""What the tests of handlers without a log share: a broker in memory."""

import itertools
from collections.abc import AsyncIterator

import pytest

from tidings.brokers import Broker, connect

_names = itertools.count()


@pytest.fixture
def url() -> str:
    return f"memory:direct-{next(_names)}"


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    broker = await connect(url)
    await broker.publish([])
    yield broker
    await broker.close()
