"""What goes wrong in one place stays there."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.handling.stage import parked, until
from tidings import App, Retry, Transaction, contract, event
from tidings.errors import HandlerTimeout, LogError, TransactionMisuse
from tidings.log.record import restore
from tidings.log.sqlite.transaction import fetch_within

SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@event("bill:made", key="number")
class BillMade:
    number: int


class Fussy(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        if self.name == "nobody":
            raise KeyError(self.name)


fussy = contract("person:named", Fussy)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App("till", f"sqlite:///{tmp_path}/log.db", contracts=[BillMade, fussy])


async def test_what_a_failed_call_did_to_its_event_is_not_seen_by_the_next(app: App) -> None:
    seen = []

    @app.on("basket:*", retry=Retry(inline=2))
    async def count(basket: dict[str, Any]) -> None:
        basket["items"].append("bag")
        seen.append(list(basket["items"]))
        if len(seen) < 3:
            raise OSError

    async with app.running():
        await app.publish("basket:filled", {"items": ["book"]})
        await until(lambda: _equal(len(seen), 3), app.log)

    assert seen == [["book", "bag"]] * 3


class Odd(BaseException):
    """What nobody expects."""


@pytest.mark.parametrize("kind", [Odd, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("form", ["async", "plain", "plain with tx", "async with tx", "list", "plain list"])
async def test_a_handler_that_raises_no_exception_fails_like_any_other(
    app: App, form: str, kind: type[BaseException]
) -> None:
    def fail(bill: BillMade) -> None:
        if bill.number == 1:
            raise kind("odd")

    async def fail_async(bill: BillMade) -> None:
        fail(bill)

    def fail_inside(bill: BillMade, tx: Transaction) -> None:
        fail(bill)

    async def fail_recording(bill: BillMade, tx: Transaction) -> None:
        fail(bill)

    async def fail_together(bills: list[BillMade]) -> None:
        for bill in bills:
            fail(bill)

    def fail_together_in_a_thread(bills: list[BillMade]) -> None:
        for bill in bills:
            fail(bill)

    handlers: dict[str, Any] = {
        "async": fail_async,
        "plain": fail,
        "plain with tx": fail_inside,
        "async with tx": fail_recording,
        "list": fail_together,
        "plain list": fail_together_in_a_thread,
    }
    app.on(BillMade, group="g", retry=Retry.never())(handlers[form])

    async with app.running():
        await app.publish_many([BillMade(0), BillMade(1), BillMade(2)])
        [dead] = await parked(app, "dead")
        await until(lambda: _has_answered_all(app), app.log)

    assert dead.key == "1"
    assert dead.reason.startswith("HandlingError")


async def _has_answered_all(app: App) -> bool:
    return all(not each.lag for each in await app.log.ledger.groups())


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_task_that_outlives_its_handler_keeps_the_cause_and_key_of_its_own_event(
    app: App, concurrency: int
) -> None:
    tasks: list[asyncio.Task[Any]] = []
    released = asyncio.Event()

    async def tell_later(bill: BillMade) -> None:
        await released.wait()
        await app.publish("bill:told", bill.number)

    @app.on(BillMade, concurrency=concurrency)
    async def begin(bill: BillMade) -> None:
        tasks.append(asyncio.create_task(tell_later(bill)))
        if bill.number == 9:
            released.set()
            await asyncio.wait(tasks)  # while this one is in hand

    async with app.running():
        bills = {bill.data.number: bill for bill in await _made(app, 10)}
        await until(lambda: _equal(len(tasks), 10), app.log)
        await asyncio.wait(tasks)
        told = [event async for event in _told(app, "bill:told")]

    assert [event.key for event in told] == [str(event.data) for event in told]
    assert {event.data: event.causation_id for event in told} == {number: bill.id for number, bill in bills.items()}


async def _made(app: App, count: int) -> list[Any]:
    made = [await app.publish(BillMade(number)) for number in range(count)]
    return [msgspec.structs.replace(each, data=BillMade(number)) for number, each in enumerate(made)]


async def _told(app: App, name: str) -> AsyncIterator[Any]:
    found = await app.log.scan("", limit=1000)
    for record in found.records:
        if record.type == name:
            yield restore(record, found.position(record), msgspec.json.decode(record.data))


async def test_what_a_rolled_back_batch_did_to_its_events_is_not_committed(app: App) -> None:
    @app.on_start
    async def tables() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE paid(total INTEGER)")

    @app.on("basket:*", retry=Retry.never())
    def pay(basket: dict[str, Any], tx: Transaction) -> None:
        basket["total"] += 10
        tx.execute("INSERT INTO paid VALUES (?)", (basket["total"],))
        if basket["number"] == 2:
            raise OSError

    async with app:
        for number in range(4):
            await app.publish("basket:filled", {"number": number, "total": 100})
        async with app.running():
            await parked(app, "dead")
            async with app.transaction() as tx:
                assert await tx.fetch("SELECT total FROM paid") == [(110,)] * 3


async def test_a_type_that_raises_what_it_likes_while_it_is_read_costs_its_event_alone(app: App) -> None:
    heard = []

    @app.on(fussy)
    async def greet(person: Fussy) -> None:
        heard.append(person.name)

    async with app.running():
        await app.publish("person:named", {"name": "Ada"})
        made = await app.publish("other:name", {"name": "nobody"})
        await app.log.append([msgspec.structs.replace(made, id="x", type="person:named", position=None)])
        await app.publish("person:named", {"name": "Bob"})
        (dead,) = await parked(app, "dead")
        await until(lambda: _equal(heard, ["Ada", "Bob"]), app.log)

    assert "KeyError" in dead.reason


async def test_many_may_open_an_application_at_once(app: App) -> None:
    async def publish(number: int) -> None:
        async with app:
            await app.publish(BillMade(number))

    await asyncio.gather(*[publish(number) for number in range(5)])

    async with app:
        assert len((await app.log.scan("")).records) == 5


@pytest.mark.parametrize("statement", [";COMMIT", " ; -- now\n;ROLLBACK", "/* */;pragma user_version"])
async def test_a_semicolon_in_front_does_not_smuggle_a_statement_in(app: App, statement: str) -> None:
    async with app:
        with pytest.raises(TransactionMisuse):
            async with app.transaction() as tx:
                tx.execute(statement)


async def test_a_transaction_repeated_with_its_events_ids_changes_nothing_the_second_time(app: App) -> None:
    async with app:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE bills(number INTEGER)")
        for _ in range(2):  # as after a commit of which nobody knows whether it took place
            async with app.transaction() as tx:
                tx.execute("INSERT INTO bills VALUES (1)")
                tx.publish(BillMade(1), id="bill-1")
        async with app.transaction() as tx:
            assert await tx.fetch("SELECT count(*) FROM bills") == [(1,)]


async def test_a_rule_for_a_broken_constraint_is_kept_by_a_recorded_transaction_too(app: App) -> None:
    @app.on_start
    async def tables() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE bills(number INTEGER UNIQUE)")
            tx.execute("INSERT INTO bills VALUES (1)")

    @app.on(BillMade, retry=Retry.never(sqlite3.IntegrityError))
    async def keep(bill: BillMade, tx: Transaction) -> None:
        tx.execute("INSERT INTO bills VALUES (?)", (bill.number,))

    async with app.running():
        await app.publish(BillMade(1))
        (dead,) = await parked(app, "dead")

    assert dead.attempts == 1
    assert dead.reason.startswith("IntegrityError")


async def test_a_writer_that_cannot_lock_says_so_and_goes_on(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async with app:
        log: Any = app.log
        lock = log._sidecar.try_lock
        refused: list[int] = []

        def broken() -> bool:
            if refused:
                return bool(lock())
            refused.append(1)
            raise OSError(5, os.strerror(5))

        monkeypatch.setattr(log._sidecar, "try_lock", broken)
        with pytest.raises(LogError, match="cannot be written"):
            await app.publish(BillMade(1))
        await app.publish(BillMade(2))

        assert len((await app.log.scan("")).records) == 1


async def test_a_query_that_takes_too_long_is_interrupted() -> None:
    def ask() -> None:
        connection = sqlite3.connect(":memory:")
        try:
            with pytest.raises(HandlerTimeout):
                fetch_within(connection, SLOW, (), 0.05)
            assert fetch_within(connection, "SELECT 1", (), 0.05) == [(1,)]
        finally:
            connection.close()

    await asyncio.to_thread(ask)


async def test_a_group_paused_by_what_waits_in_it_is_not_healthy(app: App) -> None:
    @app.on(BillMade, retry=Retry.never(), blocked_limit=2)
    async def fail(bill: BillMade) -> None:
        raise OSError

    async with app.running():
        for _ in range(4):
            await app.publish(BillMade(1))

        async def is_told() -> bool:
            health = await app.health()
            return not health.healthy and "dead list" in health.troubles[0]

        await until(is_told, app.log)


async def _equal(one: object, other: object) -> bool:
    return one == other
