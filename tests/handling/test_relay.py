"""Two services, each with its own log, and one bus: what is public crosses once, in order, whatever is away."""

import asyncio
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.handling.stage import (
    AuditNoted,
    Heard,
    OrderCreated,
    StockReserved,
    caught_up,
    eventually,
    recorded,
    until,
)
from tidings import App, Event
from tidings.brokers import Arrival
from tidings.brokers.log import LogBroker
from tidings.brokers.log_inbox import LogInbox
from tidings.clock import ManualClock
from tidings.errors import BrokerUnreachable, EventRefused
from tidings.handling.oversight.letters import Letter
from tidings.log import Log, Where, open_log

_names = itertools.count()
Service = Callable[..., App]


@pytest.fixture
def bus(kind: str, tmp_path: Path) -> str:
    return {"memory": f"memory:bus-{next(_names)}", "sqlite": f"sqlite:///{tmp_path}/bus.db"}[kind]


@pytest.fixture
def service(kind: str, bus: str, tmp_path: Path) -> Service:
    """`service("inventory")`: one more instance of that service."""
    prefix = f"memory:{next(_names)}" if kind == "memory" else f"sqlite:///{tmp_path}/"

    def service(name: str, **settings: Any) -> App:
        return App(name, log=f"{prefix}{name}{'' if kind == 'memory' else '.db'}", broker=bus, **settings)

    return service


@pytest.fixture
def away() -> Iterator[Callable[[Path], Callable[[], None]]]:
    """`away(database)`: as another process that writes to it and does not come to an end; the result ends it."""
    held: list[int] = []

    def lock(database: Path) -> Callable[[], None]:
        descriptor = os.open(database.with_name(database.name + "-tidings") / "lock", os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        held.append(descriptor)
        return lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)

    yield lock
    for descriptor in held:
        os.close(descriptor)


def hearing(app: App, *names: Any) -> Heard[Event]:
    heard = Heard[Event]()

    @app.on(*names or (OrderCreated,), group=f"{app.name}.hears")
    async def hear(event: Event) -> None:
        heard.note(event)

    return heard


async def test_an_event_crosses_once_with_all_it_carries(service: Service, bus: str) -> None:
    shop, inventory = service("shop"), service("inventory")
    heard = hearing(inventory)
    async with shop.running(), inventory.running(), await open_bus(bus) as carrier:
        made = await shop.publish(OrderCreated(7), subject="s", correlation_id="c", headers={"tenant": "n"})
        [event] = await heard.reach(1)
        await caught_up(shop)
        await caught_up(inventory)
        assert len(await recorded(inventory.log)) == len(await recorded(carrier.log)) == 1

    assert (event.id, event.source, event.key, event.subject) == (made.id, "shop", "7", "s")
    assert (event.correlation_id, event.headers, event.time) == ("c", {"tenant": "n"}, made.time)
    assert event.stream is None


async def test_private_events_do_not_cross(service: Service, bus: str) -> None:
    shop, inventory = service("shop"), service("inventory")
    heard = hearing(inventory, "**")

    @shop.on(OrderCreated)
    async def note(order: OrderCreated) -> list[Any]:
        return [AuditNoted(order.order_id), StockReserved(order.order_id)]

    async with shop.running(), inventory.running(), await open_bus(bus) as carrier:
        await shop.publish(AuditNoted(1))
        await shop.log.append([Event(source="shop", type="order:internal")], stream="order-1")
        await shop.publish(OrderCreated(2))
        await heard.reach(2)
        assert sorted(event.type for event in await recorded(carrier.log)) == ["order:created", "stock:reserved"]

    assert sorted(event.type for event in heard) == ["order:created", "stock:reserved"]


async def test_what_comes_back_is_not_recorded_twice_and_what_came_in_is_not_sent_on(
    service: Service, bus: str
) -> None:
    shop, inventory = service("shop"), service("inventory")
    own, other = hearing(shop, "**"), hearing(inventory, "**")

    async with shop.running(), inventory.running(), await open_bus(bus) as carrier:
        for number in range(20):
            await (shop if number % 2 else inventory).publish(OrderCreated(number))
        await own.reach(20)
        await other.reach(20)
        await caught_up(shop)
        await caught_up(inventory)
        logs = [shop.log, inventory.log, carrier.log]
        assert [len(await recorded(log)) for log in logs] == [20, 20, 20]
        assert [group.lag for group in await carrier.log.ledger.groups()] == [0, 0]

    assert len(own) == len(other) == 20


async def test_what_a_service_said_itself_is_not_taken_from_the_bus(service: Service, bus: str) -> None:
    shop = service("shop")
    heard = hearing(shop, "order:*")

    async with shop.running(), await open_bus(bus) as carrier:
        echo = Event(source="shop", type="order:created", data={})
        await carrier.log.append([echo, Event(source="else", type="order:created", data={})])
        await heard.reach(1)
        assert [event.source for event in await recorded(shop.log)] == ["else"]


async def test_the_order_of_each_key_is_kept_across_the_bus(service: Service) -> None:
    shop, inventory = service("shop"), service("inventory")
    heard = hearing(inventory)

    async with shop.running(), inventory.running():
        for start in range(0, 300, 50):
            await shop.publish_many([OrderCreated(number % 7, str(number)) for number in range(start, start + 50)])
        await heard.reach(300)

    for key in map(str, range(7)):
        totals = [int(_data(event)["total"]) for event in heard if event.key == key]
        assert totals == sorted(totals)
        assert totals


async def test_whom_data_is_enough_is_read_no_more_because_of_what_nobody_can_read(service: Service) -> None:
    inventory, heard, looks = service("inventory"), Heard[OrderCreated](), Heard[Where]()

    @inventory.on(group="hears")
    async def hear(order: OrderCreated) -> None:
        heard.note(order)

    async with service("shop") as shop, inventory:
        log: Any = inventory.log
        scan = log.scan

        async def counted(after: str, where: Where, limit: int) -> Any:
            looks.note(where)
            return await scan(after, where, limit)

        log.scan = counted
        async with shop.running(), inventory.running():
            await shop.publish(OrderCreated(1))
            await heard.reach(1)

    assert {where.lean for where in looks if "order:created" in (where.types or ())} == {True}


async def test_what_arrives_is_recorded_before_it_is_acknowledged_and_while_others_are(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, inventory = service("shop"), service("inventory")
    heard, acknowledged, settle, may_settle = hearing(inventory), Heard[str](), LogInbox.settle, asyncio.Event()

    async def settle_in_time(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        known = {event.id for event in await recorded(inventory.log)}
        assert {arrival.event.id for arrival in arrivals or ()} <= known
        await may_settle.wait()
        await settle(self, arrivals)
        for arrival in arrivals or ():
            acknowledged.note(arrival.event.id)

    monkeypatch.setattr(LogInbox, "settle", settle_in_time)

    async with shop.running(), inventory.running():
        for number in range(20):
            await shop.publish(OrderCreated(number))
            await heard.reach(number + 1)
        assert acknowledged == []
        may_settle.set()
        await acknowledged.reach(20)

    assert len(heard) == 20


async def test_a_streams_name_becomes_the_key_across_the_bus(service: Service) -> None:
    shop, inventory = service("shop"), service("inventory")
    heard = hearing(inventory, "order:*")

    async with shop.running(), inventory.running():
        moved = [Event(source="shop", type="order:moved", data=number) for number in range(3)]
        await shop.log.append(moved, stream="order-7", public=True)
        await heard.reach(3)

    assert [(event.key, event.stream, event.data) for event in heard] == [
        ("order-7", None, 0),
        ("order-7", None, 1),
        ("order-7", None, 2),
    ]


async def test_two_instances_of_a_service_share_what_arrives(service: Service) -> None:
    shop, first, second = service("shop"), service("inventory"), service("inventory")
    one, other = hearing(first), hearing(second)

    async def all_heard() -> bool:
        return len(one) + len(other) >= 200

    async with shop.running(), first.running(), second.running():
        await shop.publish_many([OrderCreated(number) for number in range(200)])
        await until(all_heard, first.log)
        await caught_up(first)
        assert len(await recorded(first.log)) == 200

    assert sorted(int(event.key or "") for event in one + other) == list(range(200))


async def test_what_is_published_while_nobody_relays_is_relayed_later(service: Service) -> None:
    shop, inventory = service("shop"), service("inventory")
    heard = hearing(inventory)

    async with shop, inventory.running():
        await shop.publish(OrderCreated(1))
        async with shop.running():
            await heard.reach(1)


class TestAwayOnDisk:
    """What only a bus in a file can suffer."""

    @pytest.fixture
    def kind(self) -> str:
        return "sqlite"

    @pytest.fixture
    def bus(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/disk/bus.db"

    async def test_publishing_goes_on_while_the_bus_is_away_and_is_relayed_later(
        self, service: Service, tmp_path: Path
    ) -> None:
        shop, inventory = service("shop"), service("inventory")
        heard, own = hearing(inventory), hearing(shop)

        async with shop.running(), inventory.running():  # the bus's folder is not there
            await shop.publish_many([OrderCreated(1), OrderCreated(2)])
            await own.reach(2)
            for app in (shop, inventory):
                await until(_is_healthy(app, False), app.log)
            assert any("does not exist" in trouble for trouble in (await inventory.health()).troubles)

            await asyncio.to_thread((tmp_path / "disk").mkdir)
            await heard.reach(2)
            for app in (shop, inventory):
                await until(_is_healthy(app, True), app.log)

    async def test_relays_go_on_when_a_locked_bus_is_free_again(
        self, service: Service, bus: str, tmp_path: Path, away: Callable[[Path], Callable[[], None]]
    ) -> None:
        await asyncio.to_thread((tmp_path / "disk").mkdir)
        shop, inventory = service("shop"), service("inventory")
        heard, own = hearing(inventory), hearing(shop)

        async with shop.running(), inventory.running():
            await shop.publish(OrderCreated(1))
            await heard.reach(1)
            come_back = await asyncio.to_thread(away, tmp_path / "disk" / "bus.db")
            await shop.publish(OrderCreated(2))
            await own.reach(2)
            assert len(heard) == 1
            come_back()
            await heard.reach(2)

        assert [event.key for event in heard] == ["1", "2"]

    async def test_relays_go_on_when_the_bus_was_closed_under_them(self, service: Service, tmp_path: Path) -> None:
        await asyncio.to_thread((tmp_path / "disk").mkdir)
        shop, inventory = service("shop"), service("inventory")
        heard = hearing(inventory)

        async with shop.running(), inventory.running():
            await shop.publish(OrderCreated(1))
            await heard.reach(1)
            for app in (shop, inventory):
                broker: Any = app._broker
                log: Log = broker._log
                await log.close()
            await shop.publish(OrderCreated(2))
            await heard.reach(2)
            for app in (shop, inventory):
                await until(_is_healthy(app, True), app.log)

    async def test_a_stop_ends_in_bound_though_the_bus_fails(self, service: Service, tmp_path: Path) -> None:
        await asyncio.to_thread((tmp_path / "disk").mkdir)
        inventory = service("inventory")
        hearing(inventory)

        async with asyncio.timeout(10):
            async with inventory.running():
                await until(_is_healthy(inventory, True), inventory.log)
                broker: Any = inventory._broker
                await until(_has_members(broker), inventory.log)
                await broker._log.close()


class _Carrier:
    def __init__(self, log: Log) -> None:
        self.log = log

    async def __aenter__(self) -> "_Carrier":
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.log.close()


async def open_bus(url: str) -> _Carrier:
    """The bus, to look at."""
    return _Carrier(await open_log(url))


def _data(event: Event) -> dict[str, Any]:
    data = event.data
    return data if isinstance(data, dict) else {"total": data.total}


def _has_members(broker: Any) -> Any:
    async def is_so() -> bool:
        return broker._log is not None and any(group.members for group in await broker._log.ledger.groups())

    return is_so


def _is_healthy(app: App, healthy: bool) -> Any:
    async def is_so() -> bool:
        return (await app.health()).healthy == healthy

    return is_so


async def test_what_the_carrier_would_never_take_becomes_a_dead_letter_and_holds_up_no_other_key(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = LogBroker.publish

    async def small_only(self: LogBroker, events: Sequence[Event]) -> None:
        for event in events:
            if event.id == "large":
                raise EventRefused(event.id, "it has 2,000,000 bytes, 1,000,000 are allowed")
        await publish(self, events)

    monkeypatch.setattr(LogBroker, "publish", small_only)
    orders, inventory = service("orders"), service("inventory")
    heard = hearing(inventory, "order:created")

    async with inventory.running(), orders.running():
        for number, key in enumerate("aba"):
            await orders.publish("order:created", {"order_id": number}, key=key, id="large" if number == 0 else None)
        await heard.reach(1)
        letters = await eventually_dead(orders)

    assert [(each.parked.group, each.parked.event_id) for each in letters] == [("orders:outbound", "large")]
    assert "2,000,000 bytes" in letters[0].parked.reason
    assert [event.key for event in heard] == ["b"], "later events of its key wait for what is decided about it"


async def test_a_dead_letter_that_is_retried_is_relayed_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, refuses, count = LogBroker.publish, True, 0

    async def at_first(self: LogBroker, events: Sequence[Event]) -> None:
        nonlocal count
        if refuses and any(event.id == "large" for event in events):
            raise EventRefused("large", "it has 2,000,000 bytes")
        count += sum(event.id == "large" for event in events)
        await publish(self, events)

    monkeypatch.setattr(LogBroker, "publish", at_first)
    orders, inventory = service("orders"), service("inventory")
    heard = hearing(inventory, "order:created")

    async with inventory.running(), orders.running():
        await orders.publish("order:created", {"order_id": 0}, key="a", id="large")
        await eventually_dead(orders)
        refuses = False
        await orders.dead.retry("large")
        await heard.reach(1)
        await orders.publish("order:created", {"order_id": 1}, key="b")
        await heard.reach(2)
        letters = (await orders.dead.list()).letters

    assert (count, list(letters)) == (1, [])


async def eventually_dead(app: App) -> Sequence[Letter]:
    async def is_there() -> bool:
        return bool((await app.dead.list()).letters)

    await eventually(is_there)
    return (await app.dead.list()).letters


async def test_what_has_gathered_while_the_broker_was_away_comes_no_faster_than_agreed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish, is_away, clock = LogBroker.publish, True, ManualClock()
    sizes: list[int] = []

    async def at_times(self: LogBroker, events: Sequence[Event]) -> None:
        if is_away:
            raise BrokerUnreachable("redis://host", "refused")
        sizes.append(len(events))
        await publish(self, events)

    monkeypatch.setattr(LogBroker, "publish", at_times)
    app = App("orders", log="memory:", broker=f"memory:bus-{next(_names)}", relay_rate="100/s", clock=clock)
    async with app.running():
        for number in range(300):
            await app.publish("order:created", number)
        is_away = False

        async def are_relayed() -> bool:
            clock.advance(0.1)
            return sum(sizes) == 300

        began = clock.monotonic()
        await eventually(are_relayed)

    assert clock.monotonic() - began >= 2.8, "300 at 100 a second, 10 of them at once"
    assert max(sizes) <= 20
