"""A carrier is told what is done beside the handling, and told again when it failed."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from tests.handling.direct.stage import fail_to_settle_once, orders, settled
from tests.handling.stage import Heard, OrderCreated
from tidings import App
from tidings.brokers import Arrival, Broker
from tidings.brokers.log_inbox import LogInbox
from tidings.errors import BrokerUnreachable


async def test_a_carrier_that_fails_is_tried_again(broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app, heard, failures = App("shop", broker=url), Heard[int](), itertools.count()
    receive, settle = LogInbox.receive, LogInbox.settle

    async def receive_at_times(self: LogInbox, at_most: int = 500) -> list[Arrival]:
        if next(failures) in (0, 2):
            raise BrokerUnreachable("x://host", "it was cut")
        return await receive(self, at_most)

    async def settle_at_times(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        if next(failures) == 4:
            raise BrokerUnreachable("x://host", "it was cut")
        await settle(self, arrivals)

    monkeypatch.setattr(LogInbox, "receive", receive_at_times)
    monkeypatch.setattr(LogInbox, "settle", settle_at_times)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(*range(5)))
        await settled(broker, "shop.note")

    assert set(heard) == set(range(5))


async def test_handlers_go_on_while_the_carrier_takes_what_is_done(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, heard, settled_ids = App("shop", broker=url), Heard[int](), Heard[str]()
    may_settle, settle = asyncio.Event(), LogInbox.settle

    async def settle_in_time(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        await may_settle.wait()
        await settle(self, arrivals)
        for arrival in arrivals or ():
            settled_ids.note(arrival.event.id)

    monkeypatch.setattr(LogInbox, "settle", settle_in_time)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        for number in range(20):
            await broker.publish(orders(number))
            await heard.reach(number + 1)
        assert settled_ids == []
        may_settle.set()

    assert sorted(settled_ids) == sorted(f"id-{number}" for number in range(20)), "who stops settles what is done"


async def test_a_settlement_that_is_refused_is_told_and_its_events_come_again(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app, heard = App("shop", broker=url), Heard[int]()
    fail_to_settle_once(monkeypatch)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(0))
        await heard.reach(2)

    told = [line for line in caplog.messages if line.startswith("trouble")]
    assert len(told) == 1
    assert "BrokerUnreachable" in told[0]
