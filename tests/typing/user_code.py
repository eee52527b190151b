"""Contracts as a user writes them; mypy and pyright both have to accept every line."""

import dataclasses
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, assert_type

from tidings import (
    Alerts,
    App,
    Batch,
    Breaker,
    CircuitBreaker,
    Debounce,
    Delivery,
    GroupLagging,
    Later,
    Rate,
    Reject,
    Retry,
    Tick,
    Transaction,
)
from tidings.events import Catalog, Contract, Event, contract, contract_of, event, upcast
from tidings.testing import Faults, TestApp


@event("shop:address")
class Address:
    city: str
    street: str | None = None


@event("order:created", version=2, key="order_id", owner="sales", personal=["address"])
class OrderCreated:
    order_id: int
    total: Decimal
    address: Address
    lines: tuple[str, ...] = ()
    placed_at: datetime | None = None

    @property
    def is_large(self) -> bool:
        return self.total > 100


@event("stock:reserved.v1", public=False)
class StockReserved:
    order_id: int


@dataclasses.dataclass(frozen=True)
class Shipment:
    order_id: int


shipped = contract("order:shipped", Shipment, version=1)


@upcast(OrderCreated, from_version=1)
def address_was_added(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "address": {"city": "unknown"}}


@upcast(shipped, from_version=1, to_version=2)
def renamed(data: dict[str, Any]) -> Shipment:
    return Shipment(data["order"])


async def reserve_stock(order: OrderCreated) -> StockReserved:
    return StockReserved(order.order_id)


order = OrderCreated(42, Decimal("39.90"), Address("Ulm"))
by_name = OrderCreated(order_id=42, total=Decimal(1), address=Address(city="Ulm", street=None), lines=("a", "b"))
assert_type(order.total, Decimal)
assert_type(order.is_large, bool)
assert_type(order.address.street, str | None)
assert_type(order == by_name, bool)
assert_type(contract_of(order), Contract | None)
assert_type(renamed({"order": 1}), Shipment)

envelope = Event(source="shop", type="order:created", data={"order_id": 42}, headers={"tenant": "north"}).checked()
assert_type(envelope.delivery_key, str)
catalog = Catalog.collect(OrderCreated, StockReserved)


app = App("orders", "sqlite:///orders.db", contracts=[OrderCreated, shipped])
inventory = App("inventory", log="sqlite:///inventory.db", broker="sqlite:///bus.db", drain=5, alerts=Alerts(lag=30))


@app.on(OrderCreated)
async def reserve(order: OrderCreated) -> StockReserved:
    return StockReserved(order.order_id)


@app.on(GroupLagging)
async def call_somebody(lagging: GroupLagging) -> None:
    assert_type(lagging.reason, str | None)


@app.on("order:*", start="latest", retry=[Retry(on=ConnectionError, attempts=3), Retry.never(ValueError)], timeout=None)
def watch(event: Event, delivery: Delivery) -> None:
    assert_type(event.id, str)
    assert_type(delivery.idempotency_key, str)
    if delivery.attempt > 5:
        raise Reject("enough")


@app.on(shipped, group="shipping.count", concurrency=4, on_dead="pass")
async def count(shipment: Shipment) -> list[StockReserved] | None:
    return [StockReserved(shipment.order_id)]


@inventory.on(StockReserved)
def keep(reserved: StockReserved, tx: Transaction) -> None:
    tx.execute("INSERT INTO reserved VALUES (?)", (reserved.order_id,), rows=1)


@app.on(OrderCreated, group="remind")
async def remind(order: OrderCreated) -> list[StockReserved | Later[StockReserved]]:
    return [StockReserved(1), Later(StockReserved(2), delay=5), Later(StockReserved(3), at=datetime.now(UTC))]


@app.every("5m")
async def clean() -> None: ...


@app.every("0 3 * * *", zone="Europe/Berlin", group="nightly", retry=Retry.never(ValueError))
def nightly(tick: Tick, tx: Transaction) -> StockReserved:
    assert_type(tick.due, datetime)
    return StockReserved(1)


def use_without_a_loop(connection: sqlite3.Connection) -> None:
    assert_type(app.sync.publish(StockReserved(1), key="1"), Event)
    assert_type(app.sync.publish_many([StockReserved(1), envelope]), list[Event])
    assert_type(app.sync.send("order:ship", {"order_id": 1}, id="ship-1"), Event)
    with app.sync.transaction() as recording:
        recording.executemany("INSERT INTO orders VALUES (?)", [(1,), (2,)])
        assert_type(recording.fetch("SELECT * FROM orders"), list[tuple[Any, ...]])
        assert_type(recording.publish(StockReserved(1)), str)
    with app.sync.transaction(existing=connection) as joined:
        joined.execute("UPDATE orders SET done = 1 WHERE id = ?", (1,), rows=1)
        assert_type(joined.publish("order:shipped", {"order_id": 3}), str)
    app.sync.ring()
    with app.sync as door:
        door.timeout = 5
        assert_type(door.health().healthy, bool)


async def use(connection: sqlite3.Connection) -> None:
    async with app.running():
        published = await app.publish(OrderCreated(1, Decimal(2), Address("Ulm")), headers={"tenant": "a"})
        assert_type(published, Event)
        await app.publish("order:shipped", {"order_id": 3}, key="3")
        later = await app.publish("order:due", delay=timedelta(days=1))
        assert_type(await app.cancel(later) or await app.cancel(later.id), bool)
        async with app.transaction() as tx:
            tx.publish(StockReserved(1), at=datetime(2030, 1, 1, tzinfo=UTC))
            tx.execute("UPDATE orders SET done = 1 WHERE id = ?", (1,), rows=1)
            assert_type(tx.publish(StockReserved(1)), str)
            tx.executemany("UPDATE orders SET done = 1 WHERE id = ?", [(1,), (2,)])
        async with app.transaction(existing=connection) as joined:
            assert_type(joined.publish(StockReserved(1)), str)
        await app.ring()
        assert_type(await app.send("order:ship", {"order_id": 1}), Event)
        if not (await app.health()).healthy:
            raise RuntimeError
        assert_type(await app.groups.pause("orders.*", why="tonight"), Sequence[str])
        for sight in await app.groups.list():
            print(sight.status.name, sight.backlog.events, sight.seconds, sight.reason)
        for letter in (await app.dead.list("shipping.count")).letters:
            await app.dead.retry(letter.parked.event_id, group=letter.parked.group)


async def try_it() -> None:
    async with TestApp(app, faults=Faults(duplicate=0.2, fail_after=OrderCreated)) as test:
        assert_type(await test.publish(StockReserved(1)), Event)
        await test.settle()
        assert_type(test.published.of(StockReserved), list[StockReserved])
        assert_type(test.published.of("order:*"), list[Event])
        assert_type(test.assert_handled(StockReserved, group=keep).attempts, int)


payments = CircuitBreaker("payments", failures=5, within=60, open_for=30)
app.include(payments)


@payments
def charge(order_id: int) -> int:
    return order_id


@app.on(rate=Rate(100, burst=5), batch=Batch(size=50), breaker=Breaker(failures=3))
async def many(orders: list[OrderCreated]) -> None:
    async with payments:
        assert_type(charge(orders[0].order_id), int)


@app.on(OrderCreated, debounce=Debounce(2.0, longest=30.0), singleton=True)
async def latest(order: OrderCreated) -> None: ...


@app.on(OrderCreated, throttle="1/10s", priority=lambda order: order.order_id)
async def first(order: OrderCreated) -> None: ...
