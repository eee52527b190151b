"""Over a carrier that keeps nothing: whoever runs hears what is published from then on."""

import asyncio

import pytest

from tidings import App, Event
from tidings.events import new_id

CARRIERS = {"redis+pubsub": "redis_server", "nats": "nats_server"}
MORE = {"redis+pubsub": "", "nats": "&jetstream=no"}


@pytest.fixture(params=CARRIERS)
def url(request: pytest.FixtureRequest) -> str:
    place = request.getfixturevalue(CARRIERS[request.param]).url.partition("://")[2]
    return f"{request.param}://{place}?prefix=forgets-{new_id()}{MORE[request.param]}"


async def test_what_is_published_right_after_the_start_is_heard(url: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    hears = App("hears", log="memory:", broker=url)

    @hears.on("order:*")
    async def hear(event: Event) -> None:
        heard.put_nowait(event.id)

    async with App("says", broker=url) as says, hears.running():
        said = await says.publish("order:created", {})

        async with asyncio.timeout(10):
            assert await heard.get() == said.id


@pytest.mark.parametrize("scheme", CARRIERS)
async def test_a_carrier_that_is_away_keeps_nobody_from_starting(scheme: str) -> None:
    hears = App("hears", log="memory:", broker=f"{scheme}://127.0.0.1:1?timeout=1{MORE[scheme]}")

    @hears.on("order:*")
    async def hear(event: Event) -> None: ...

    async with asyncio.timeout(10), hears.running():
        health = await hears.health()

    assert health.running
    assert "cannot be reached" in health.troubles[0]
