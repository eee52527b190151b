"""What must hold of a log's file afterwards, whoever was killed on the way."""

import asyncio
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import psycopg

from tidings.events import Event
from tidings.log import Log, open_log
from tidings.log.position import order_in
from tidings.log.record import restore
from tidings.log.verifying import Flaw
from tidings.testing import History, Report, check


def file_of(url: str) -> Path:
    """The database that a log's URL names."""
    return Path(url.removeprefix("sqlite:///"))


def rows(url: str, sql: str) -> list[tuple[object, ...]]:
    """What a query finds, asked by a connection of its own."""
    if url.startswith("postgresql:"):
        with psycopg.connect(url) as session:
            return session.execute(sql.encode()).fetchall()
    connection = sqlite3.connect(file_of(url))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def recorded(log: Log) -> list[Event]:
    """Every event, its checksums checked; their positions have no hole."""
    events: list[Event] = []
    after = ""
    while True:
        found = await log.scan(after, limit=1000)
        events += [restore(record, found.position(record)) for record in found.records]
        if found.at_head:
            break
        after = found.upto
    places = [order_in(event.position or "") for event in events]
    assert places == (list(range(1, len(events) + 1)) if log.is_dense else sorted(set(places)))
    return events


async def sound(url: str) -> list[Event]:
    """Every event of a file that is sound in all that can be checked."""
    log = await open_log(url)
    try:
        events = await recorded(log)
    finally:
        await log.close()
    return events


def intact(url: str) -> None:
    """The database finds nothing wrong."""
    if url.startswith("postgresql:"):
        assert asyncio.run(_findings(url)) == []
        return
    assert rows(url, "PRAGMA integrity_check") == [("ok",)]


async def _findings(url: str) -> list[Flaw]:
    log = await open_log(url)
    try:
        return [finding async for step in log.verify() for finding in step.flaws]
    finally:
        await log.close()


def kept(events: list[Event], *paths: Path) -> Report:
    """Is every acknowledged coin recorded once, none that nobody paid, each account's in order?"""
    history = History.read(*paths)
    history.facts = [fact for fact in history.facts if fact.what in ("attempted", "acknowledged")]
    for event in events:
        if event.type == "coin:paid":
            account, number = coin_of(event)
            history.delivered("log", event.id, key=account, sequence=number)
    report = check(history, groups=["log"])
    assert report.is_clean, report
    assert report.duplicated == {"log": 0}, report
    return report


def effects(url: str, table: str, events: list[Event]) -> None:
    """Every coin has its row in `table`, once, and each account's rows are in order."""
    found = rows(url, f"SELECT event_id, account, number FROM {table} ORDER BY rowid")
    paid = [event.id for event in events if event.type == "coin:paid"]
    times = Counter(row[0] for row in found)
    assert not {event_id: count for event_id, count in times.items() if count > 1}, f"{table}: more than once"
    assert not set(paid) - set(times), f"{table}: never"
    assert not set(times) - set(paid), f"{table}: out of nothing"
    in_order(table, [(str(account), int(str(number))) for _, account, number in found])


def returned(events: list[Event]) -> None:
    """Every coin paid is booked by one event, and each account's are in order."""
    booked = [event for event in events if event.type == "coin:booked"]
    causes = Counter(event.causation_id for event in booked)
    assert not {cause: count for cause, count in causes.items() if count > 1}, "returned more than once"
    assert set(causes) == {event.id for event in events if event.type == "coin:paid"}
    in_order("coin:booked", [coin_of(event) for event in booked])


def in_order(what: str, coins: list[tuple[str, int]]) -> None:
    """The numbers of each account rise."""
    by_account: dict[str, list[int]] = defaultdict(list)
    for account, number in coins:
        by_account[account].append(number)
    for account, numbers in by_account.items():
        assert numbers == sorted(numbers), f"{what}: {account} is out of order"


def coin_of(event: Event) -> tuple[str, int]:
    """The account and number an event speaks of."""
    data = msgspec.json.decode(bytes(event.data))
    return data["account"], data["number"]
