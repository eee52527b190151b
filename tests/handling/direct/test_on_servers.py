"""Handlers without a log on real carriers: calls are counted as rules say, and a group stops where it is told to."""

import uuid
from typing import Any

import pytest

from tests.handling.stage import Heard, OrderCreated, eventually
from tidings import App, Event, Reject, Retry
from tidings.handling.delivery import Delivery


@pytest.fixture(params=["redis", "rabbitmq", "nats", "kafka"])
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, carrier: str) -> str:
    server: Any = request.getfixturevalue(f"{carrier}_server")
    return f"{server.url}?prefix=d{uuid.uuid4().hex[:8]}-"


async def set_up(app: App) -> None:
    """Some carriers hand a group only what comes after it was made."""
    async with app:
        assert app._broker is not None
        await app._broker.setup(app.wanted(), apply=True)


@pytest.mark.parametrize("carrier", ["redis", "rabbitmq", "nats"])  # Kafka hands nothing over later
async def test_an_event_is_called_as_often_as_its_rule_says(url: str) -> None:
    app, attempts = App("shop", broker=url), Heard[int]()

    @app.on(OrderCreated, retry=Retry(attempts=6, wait=0.1))
    async def fails(event: Event, delivery: Delivery) -> None:
        attempts.note(delivery.attempt)
        raise OSError("busy")

    await set_up(app)
    async with app.running():
        await app.publish(OrderCreated(1))

        async def is_dead() -> bool:
            assert app._broker is not None
            return len(await app._broker.letters()) == 1

        await eventually(is_dead)

    assert attempts == [1, 2, 3, 4, 5, 6]


async def test_a_group_stops_where_it_is_told_to_and_goes_on_there(url: str) -> None:
    heard = Heard[int]()

    def app(*, gives_up: bool) -> App:
        made = App("shop", broker=url)

        @made.on(OrderCreated, on_exhausted="stop")
        async def note(order: OrderCreated) -> None:
            if order.order_id == 3 and gives_up:
                raise Reject("not now")
            heard.note(order.order_id)

        return made

    await set_up(app(gives_up=True))
    async with app(gives_up=True).running() as first:
        await first.publish_many(
            [Event(source="web", type="order:created", key="k", data={"order_id": n}) for n in range(6)]
        )

        async def is_stopped() -> bool:
            return (await first.health()).groups[0].state == "stopped"

        await eventually(is_stopped)
        assert heard == [0, 1, 2]
    async with app(gives_up=False).running():
        await heard.reach(6)

    assert heard == [0, 1, 2, 3, 4, 5]
