"""The server is killed, restarted or frozen: nothing acknowledged is lost, errors are typed, and everybody goes on."""

import asyncio
import os
import shutil
from asyncio import to_thread
from pathlib import Path

import psycopg
import pytest

from tests.handling.stage import caught_up, until
from tests.servers.postgres import PostgresServer
from tidings import App, Event, Transaction, event
from tidings.errors import CommitUnknown, LogError, LogTruncated, LogUnreachable
from tidings.log import START, Log, open_log
from tidings.log.record import restore
from tidings.testing.log_conformance.words import new_event, read_ids

HASTE = 2.0  # seconds, instead of ten, where it is waited for the end of a timeout
PATIENCE = 30.0  # seconds, where it is not: a server that was killed may take its time


@event("coin:paid", key="number")
class CoinPaid:
    number: int


async def acknowledged(log: object, stop: asyncio.Event, name: str) -> set[str]:
    """Append until told to stop, with the same id again whenever it failed."""
    done: set[str] = set()
    while not stop.is_set():
        made = new_event(f"{name}-{len(done)}")
        try:
            await log.append([made])  # type: ignore[attr-defined]  # a Log
        except LogError:
            await asyncio.sleep(0.01)
        else:
            done.add(made.id)
    return done


async def test_what_was_acknowledged_outlives_a_server_that_is_killed(own_server: PostgresServer) -> None:
    patient, log = [await open_log(own_server.url, lock_timeout=limit) for limit in (PATIENCE, HASTE)]
    stop = asyncio.Event()
    writing = [asyncio.create_task(acknowledged(log, stop, f"w{number}")) for number in range(4)]

    for _ in range(3):
        before = len((await patient.scan(START, limit=100_000)).records)
        await until(lambda: _grown(log, before + 20), log)  # noqa: B023  # called in this round only
        await to_thread(own_server.kill9)
        await to_thread(own_server.start)
    before = len((await patient.scan(START, limit=100_000)).records)
    await until(lambda: _grown(log, before + 20), log)
    stop.set()
    done = set[str]().union(*await asyncio.gather(*writing))

    found = await patient.scan(START, limit=100_000)
    ids = [restore(record, "").id for record in found.records]
    assert done <= set(ids)
    assert len(ids) == len(set(ids))
    await log.close()
    await patient.close()


async def test_handlers_go_on_when_the_server_is_back_and_each_effect_is_once(own_server: PostgresServer) -> None:
    with psycopg.connect(own_server.url) as connection:
        connection.execute("CREATE TABLE purse(number integer)")
    app = App("till", f"{own_server.url}?lock_timeout={PATIENCE}", contracts=[CoinPaid])

    @app.on(CoinPaid)
    def book(coin: CoinPaid, tx: Transaction) -> None:
        tx.execute("INSERT INTO purse VALUES (%s)", (coin.number,))

    async with app.running():
        for number in range(200):
            await app.publish(CoinPaid(number))
            if number in (50, 120):
                await to_thread(own_server.kill9)
                await to_thread(own_server.start)
        await caught_up(app)

        async with app.transaction() as tx:
            rows = await tx.fetch("SELECT number FROM purse ORDER BY 1")
    assert [row[0] for row in rows] == list(range(200))


async def test_a_server_that_stands_still_is_a_typed_error_within_bounds(own_server: PostgresServer) -> None:
    patient = await open_log(own_server.url, lock_timeout=PATIENCE)
    await patient.append([new_event(0)])
    log = await open_log(f"{own_server.url}?connect_timeout=2", lock_timeout=HASTE)
    await to_thread(own_server.pause)

    async with asyncio.timeout(30):
        failures = await asyncio.gather(log.append([new_event(1)]), log.scan(START), return_exceptions=True)
    await to_thread(own_server.resume)

    assert isinstance(failures[0], CommitUnknown | LogUnreachable)
    assert isinstance(failures[1], LogUnreachable)
    await until(lambda: _takes(log, new_event(1)), log)
    assert await read_ids(patient) == ["id-0", "id-1"]
    await log.close()
    await patient.close()


async def test_a_tail_resumes_where_it_was(own_server: PostgresServer) -> None:
    log = await open_log(own_server.url, lock_timeout=PATIENCE)
    await log.append([new_event(0)])
    tail = log.tail()
    first = await anext(tail)
    await to_thread(own_server.kill9)
    await to_thread(own_server.start)

    await log.append([new_event(1)])
    second = await asyncio.wait_for(anext(tail), 20)

    assert [len(found.records) for found in (first, second)] == [1, 1]
    assert second.after == first.upto
    await log.close()


async def test_a_server_put_back_to_an_older_state_begins_another_epoch(own_server: PostgresServer) -> None:
    log = await open_log(own_server.url, lock_timeout=PATIENCE)
    await log.append([new_event(0)])
    await to_thread(own_server.stop)
    data, copy = own_server.folder / "data", own_server.folder / "copy"
    await to_thread(shutil.copytree, data, copy, copy_function=shutil.copy2)
    await to_thread(own_server.start)
    lost = await log.append([new_event(1)])
    await to_thread(own_server.kill9)
    await to_thread(put_back, data, copy, own_server.user)
    await to_thread(own_server.start)

    again = await log.append([new_event(2)])

    assert again.first > lost.last
    assert await read_ids(log) == ["id-0", "id-2"]
    with pytest.raises(LogTruncated):
        await log.scan(lost.last)
    await log.close()


def put_back(data: Path, copy: Path, user: str | None) -> None:
    shutil.rmtree(data)
    copy.rename(data)
    for path in (data, *data.rglob("*")):
        shutil.chown(path, user or os.geteuid())


async def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(LogUnreachable) as refused:
        await open_log("postgresql://me:hunter2@127.0.0.1:1/shop?password=hunter3", lock_timeout=0.1)

    shown = f"{refused.value} {refused.value!r} {refused.value.__cause__!r}"
    assert "hunter" not in shown
    assert "127.0.0.1" in shown


async def _takes(log: Log, event: Event) -> bool:
    try:
        await log.append([event])
    except LogError:
        return False
    return True


async def _grown(log: object, count: int) -> bool:
    try:
        return len((await log.scan(START, limit=100_000)).records) >= count  # type: ignore[attr-defined]  # a Log
    except LogError:
        return False
