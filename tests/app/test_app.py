"""An application put together, opened, run and closed."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.handling.stage import AuditNoted, Heard, OrderCreated, StockReserved, caught_up, parked, recorded, until
from tidings import App, Event, Retry, event
from tidings.errors import (
    BrokenContracts,
    ConfigurationError,
    Conflict,
    ContractError,
    InvalidName,
    LogClosed,
    TransactionMisuse,
)
from tidings.log import Where


@pytest.fixture
def sqlite(tmp_path: Path) -> App:
    return App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[OrderCreated])


def test_a_url_is_the_logs_or_the_brokers() -> None:
    alone = App("shop", "sqlite:///log.db")
    both = App("shop", log="sqlite:///log.db", broker="sqlite:///bus.db")
    neither = App("shop")

    assert (alone.log_url, alone.broker_url) == ("sqlite:///log.db", None)
    assert (both.log_url, both.broker_url) == ("sqlite:///log.db", "sqlite:///bus.db")
    assert (neither.log_url, neither.broker_url) == ("memory:", None)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"broker": "bus.db"}, "is no URL"),
        ({"url": "sqlite:///a.db", "log": "sqlite:///b.db"}, "two logs"),
        ({"url": "kafka://a", "broker": "kafka://b", "log": "memory:"}, "two brokers"),
        ({"log": "redis://ann:secret@host"}, r"log='redis://ann:\*\*\*@host' is the URL of a broker.* broker="),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_sentence(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as refused:
        App("shop", **settings)  # type: ignore[arg-type]

    assert "\n" not in str(refused.value)


def test_a_name_that_cannot_be_a_source_is_refused() -> None:
    with pytest.raises(InvalidName):
        App("my shop")


async def test_a_log_that_is_not_there_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    app = App("shop", f"sqlite:///{tmp_path}/missing/log.db")

    with pytest.raises(ConfigurationError, match="does not exist"):
        async with app:
            pass
    with pytest.raises(ConfigurationError, match="is not open"):
        _ = app.log


async def test_contracts_that_do_not_fit_are_refused_before_anything_is_opened(tmp_path: Path) -> None:
    @event("order:created", key="customer")
    class Broken:
        order_id: int

    app = App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[Broken])

    with pytest.raises(BrokenContracts, match="customer"):
        async with app:
            pass
    assert not await asyncio.to_thread((tmp_path / "log.db").exists)


async def test_an_application_opened_twice_is_closed_once_the_last_block_ends(sqlite: App) -> None:
    async with sqlite:
        async with sqlite:
            await sqlite.publish(OrderCreated(1))
        log = sqlite.log
        await sqlite.publish(OrderCreated(2))
        assert len(await recorded(log)) == 2

    with pytest.raises(LogClosed):
        await log.head()


async def test_publishing_needs_an_open_application(sqlite: App) -> None:
    with pytest.raises(ConfigurationError, match="async with app"):
        await sqlite.publish(OrderCreated(1))
    async with sqlite:
        await sqlite.publish(OrderCreated(1))
    with pytest.raises(ConfigurationError, match="is not open"):
        await sqlite.publish_many([OrderCreated(1)])


async def test_an_application_can_be_opened_again(sqlite: App) -> None:
    for count in (1, 2):
        async with sqlite:
            await sqlite.publish(OrderCreated(count))
            assert len(await recorded(sqlite.log)) == count


async def test_an_application_runs_once_at_a_time(sqlite: App) -> None:
    heard = Heard[int]()

    @sqlite.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with sqlite.running():
        with pytest.raises(ConfigurationError, match="running already"):
            async with sqlite.running():
                pass
        await sqlite.publish(OrderCreated(1))
        await heard.reach(1)
    async with sqlite.running():
        await sqlite.publish(OrderCreated(2))
        assert await heard.reach(2) == [1, 2]


async def test_run_ends_when_its_event_is_set(sqlite: App) -> None:
    heard, stop = Heard[int](), asyncio.Event()

    @sqlite.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with sqlite:
        running = asyncio.create_task(sqlite.run(stop))
        await sqlite.publish(OrderCreated(1))
        await heard.reach(1)
        stop.set()
        await asyncio.wait_for(running, 10)
        [group] = await sqlite.log.ledger.groups()

    assert (group.lag, group.members) == (0, ())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_ends_in_order_when_the_process_is_told_to(sqlite: App, number: signal.Signals) -> None:
    heard = Heard[int]()

    @sqlite.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)
        os.kill(os.getpid(), number)

    async with sqlite:
        await sqlite.publish(OrderCreated(1))
        await asyncio.wait_for(sqlite.run(), 10)
        [group] = await sqlite.log.ledger.groups()

    assert heard == [1]
    assert group.lag == 0


async def test_an_event_published_with_one_id_twice_is_recorded_once(sqlite: App) -> None:
    async with sqlite:
        first = await sqlite.publish(OrderCreated(1), id="a")
        again = await sqlite.publish(OrderCreated(1), id="a")

        assert first.position == again.position
        assert len(await recorded(sqlite.log)) == 1


async def test_publish_gives_the_event_as_recorded(sqlite: App) -> None:
    async with sqlite:
        made = await sqlite.publish("note:taken", {"text": "hello"}, subject="s", key="k")
        [one] = await recorded(sqlite.log)

    assert made.position == one.position
    assert (made.id, made.source, made.type, made.time) == (one.id, "shop", "note:taken", one.time)


async def test_many_events_are_published_all_or_none(sqlite: App) -> None:
    async with sqlite:
        with pytest.raises(ContractError):
            await sqlite.publish_many([OrderCreated(1), OrderCreated("two")])  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="public and private"):
            await sqlite.publish_many([OrderCreated(1), AuditNoted(1)])
        assert await recorded(sqlite.log) == []
        await sqlite.publish_many([AuditNoted(1), AuditNoted(2)])
        assert (await sqlite.log.scan("", Where(public=True))).records == []


async def test_a_transaction_commits_statements_and_events_together(sqlite: App) -> None:
    async with sqlite:
        async with sqlite.transaction() as tx:
            tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
            tx.execute("INSERT INTO orders VALUES (?)", (7,), rows=1)
            event_id = tx.publish(OrderCreated(7))
            tx.publish("order:noted", {"order_id": 7}, key="7")
            assert await recorded(sqlite.log) == []
        first, second = await recorded(sqlite.log)
        async with sqlite.transaction() as tx:
            assert await tx.fetch("SELECT id FROM orders") == [(7,)]

    assert (first.id, first.data["order_id"]) == (event_id, 7)
    assert (second.type, second.key) == ("order:noted", "7")


async def test_a_transaction_that_raises_never_happened(sqlite: App) -> None:
    async with sqlite:
        async with sqlite.transaction() as tx:
            tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        for error, end in ((ZeroDivisionError, "raise"), (Conflict, "differ"), (TransactionMisuse, "commit")):
            with pytest.raises(error):
                await order_and(sqlite, end)

        async with sqlite.transaction() as tx:
            assert await tx.fetch("SELECT id FROM orders") == []
        assert await recorded(sqlite.log) == []


async def order_and(app: App, end: str) -> None:
    async with app.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (7)")
        tx.publish(OrderCreated(7))
        if end == "raise":
            raise ZeroDivisionError
        tx.execute("COMMIT" if end == "commit" else "UPDATE orders SET id = 8 WHERE id = 6", rows=1)


async def test_events_of_a_transaction_keep_private_what_is_private(sqlite: App) -> None:
    async with sqlite:
        async with sqlite.transaction() as tx:
            tx.publish(AuditNoted(1))
            tx.publish(StockReserved(1))

        shown = (await sqlite.log.scan("", Where(public=True))).records
        assert [record.type for record in shown] == ["stock:reserved"]


async def test_health_tells_how_every_group_does(sqlite: App) -> None:
    @sqlite.on(group="g", retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        if order.order_id == 1:
            raise OSError

    async with sqlite:
        await sqlite.publish_many([OrderCreated(1), OrderCreated(1), OrderCreated(2)])
        async with sqlite.running():
            await parked(sqlite, "dead", "blocked")
            await caught_up(sqlite)
            health = await sqlite.health()
        after = await sqlite.health()

    [group] = health.groups
    assert (health.app, health.healthy, health.running, health.troubles) == ("shop", True, True, ())
    assert (group.name, group.state, group.lag, group.lanes) == ("g", "live", 0, 16)
    assert (group.retry, group.blocked, group.dead, group.trouble) == (0, 1, 1, None)
    assert (after.running, after.groups[0].lanes) == (False, 0)


async def test_health_tells_the_lag_of_a_group_nobody_runs(sqlite: App) -> None:
    @sqlite.on(group="g")
    async def show(order: OrderCreated) -> None: ...

    async with sqlite:
        async with sqlite.running():
            await until(_has_groups(sqlite), sqlite.log)
        await sqlite.publish_many([OrderCreated(1), OrderCreated(2)])

        [group] = (await sqlite.health()).groups
        assert group.lag == 2


async def test_an_application_in_memory_needs_no_file() -> None:
    app, heard = App("shop"), Heard[int]()

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await app.publish(OrderCreated(1))
        assert await heard.reach(1) == [1]
        assert app.subscriptions[0].name == "shop.show"


async def test_a_shorter_lease_is_handed_to_the_log(tmp_path: Path) -> None:
    app = App("shop", f"sqlite:///{tmp_path}/log.db", lease=2.0)

    async with app:
        ledger: Any = app.log.ledger
        assert ledger._members.lease == 2.0


async def test_an_event_of_another_source_is_published_as_it_is(sqlite: App) -> None:
    async with sqlite:
        made = await sqlite.publish(
            Event(source="https://partner.example/orders", type="order:created.v1", data={"order_id": 1})
        )

    assert (made.source, made.type, made.version) == ("https://partner.example/orders", "order:created", 1)


def _has_groups(app: App) -> Any:
    async def is_so() -> bool:
        return bool(await app.log.ledger.groups())

    return is_so


def test_a_decorator_without_parentheses_and_a_path_for_a_url_are_said_at_once() -> None:
    app = App("shop")
    with pytest.raises(ConfigurationError, match=r"write @app.on\(\) above"):
        app.on(lambda order: None)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ConfigurationError, match=r"a log is written as sqlite:///shop\.db"):
        App("shop", "shop.db")
