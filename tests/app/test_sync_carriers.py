"""`app.sync` over carriers that are servers, whose connections live on one event loop: which loop calls go to."""

import asyncio
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.handling.stage import Heard, OrderCreated
from tidings import App
from tidings.brokers import connect
from tidings.errors import ConfigurationError

LIMIT = 30.0  # seconds for what should take milliseconds
SCRIPT = """
import sys
from tidings import App

app = App("script", broker=sys.argv[1])
for number in range(3):
    app.sync.publish("order:created", {"order_id": number})
"""


@pytest.fixture(params=["redis", "nats", "kafka"])
def url(request: pytest.FixtureRequest) -> str:
    server: Any = request.getfixturevalue(f"{request.param}_server")
    return f"{server.url}?prefix=s{uuid.uuid4().hex[:8]}-"


@pytest.fixture
def app(url: str) -> Iterator[App]:
    app = App("shop", broker=url)
    yield app
    app.sync.close()


async def heard(url: str, count: int) -> list[int]:
    """What another service hears from the beginning."""
    broker, found = await connect(url), list[int]()
    async with asyncio.timeout(LIMIT), broker.subscribe(["order:created"], group="other") as inbox:
        while len(found) < count:
            arrivals = await inbox.receive()
            found += [int(bytes(each.event.data).rpartition(b":")[2].rstrip(b"}")) for each in arrivals]
            await inbox.settle(arrivals)
    await broker.close()
    return sorted(found)


def publish(app: App, *numbers: int) -> None:
    for number in numbers:
        app.sync.publish("order:created", {"order_id": number})


async def in_a_thread(app: App, *numbers: int) -> None:
    await asyncio.wait_for(asyncio.to_thread(publish, app, *numbers), LIMIT)


def test_a_plain_script_publishes_and_ends(url: str) -> None:
    source = Path(__file__).parents[2] / "src"

    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, url], env={"PYTHONPATH": str(source)}, capture_output=True, timeout=LIMIT
    )

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert asyncio.run(heard(url, 3)) == [0, 1, 2]


def test_many_threads_publish_without_a_loop_of_their_own(app: App, url: str) -> None:
    threads = [threading.Thread(target=publish, args=(app, number)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(LIMIT)

    assert asyncio.run(heard(url, 8)) == list(range(8))


async def test_a_thread_beside_the_loop_at_work_publishes_through_it(app: App, url: str) -> None:
    seen = Heard[int]()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        seen.note(order.order_id)

    async with app.running():
        await in_a_thread(app, 1, 2)
        await seen.reach(2)
        assert not app.sync._portal, "no second connection was made"

    assert sorted(seen) == [1, 2]


def test_it_goes_on_when_the_loop_that_had_it_open_has_ended(app: App, url: str) -> None:
    async def once(number: int) -> None:
        async with app:
            await app.publish("order:created", {"order_id": number})
            await in_a_thread(app, number + 1)

    asyncio.run(once(0))
    publish(app, 2)
    app.sync.close()
    asyncio.run(once(3))
    publish(app, 5)

    assert asyncio.run(heard(url, 6)) == [0, 1, 2, 3, 4, 5]


def test_a_loop_that_comes_second_is_refused_in_one_sentence(app: App) -> None:
    async def use() -> None:
        async with app:
            pytest.fail("it opened twice")

    publish(app, 1)

    with pytest.raises(ConfigurationError, match=r"is open on another event loop.*let app.run\(\) begin before"):
        asyncio.run(use())
