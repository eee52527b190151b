"""What an append promises by itself: all or nothing, in order, and back as it went in."""

import asyncio
import contextlib
from datetime import UTC, datetime

import msgspec

from tidings.errors import IdReused, InvalidEvent, VersionConflict
from tidings.events import Event
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.record import from_microseconds, restore
from tidings.log.slices import NONE, Appended
from tidings.testing.log_conformance.words import LIMIT, new_event, new_events, raises, read_ids, read_stream


async def test_events_are_recorded_in_the_order_of_appending(log: Log) -> None:
    for number in range(5):
        await log.append([new_event(number)])
    await log.append(new_events(5, 9))

    assert await read_ids(log) == [f"id-{number}" for number in range(9)]


async def test_an_append_says_where_it_recorded(log: Log) -> None:
    await log.append([new_event(0)])

    appended = await log.append(new_events(1, 4))

    found = await log.scan(START)
    assert (appended.first, appended.last) == (found.position(found.records[1]), found.position(found.records[3]))
    assert appended.stream_version is None
    assert not appended.duplicate


async def test_appending_nothing_records_nothing(log: Log) -> None:
    appended = await log.append([])

    assert appended == Appended(START, START)
    assert await log.head() == START


async def test_an_event_comes_back_as_it_went_in(log: Log) -> None:
    event = Event(
        id="i/ä",
        source="https://shop.example/orders",
        type="order:created",
        version=3,
        data={"total": "39.90", "lines": [1, None, True]},
        subject="order/1",
        time=datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
        key="customer-1",
        correlation_id="c",
        causation_id="b",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        headers={"tenant": "north", "tries": 2, "urgent": True},
    )

    appended = await log.append([event], stream="order-1")

    found = await log.scan(START)
    restored = restore(found.records[0], appended.last)
    assert msgspec.json.decode(restored.data) == event.data
    known_once_recorded = {
        "data": restored.data,
        "position": appended.last,
        "recorded_at": from_microseconds(found.records[0].recorded_at),
        "stream": "order-1",
        "stream_version": 1,
    }
    assert restored == msgspec.structs.replace(event, **known_once_recorded)


async def test_bytes_come_back_as_they_went_in(log: Log) -> None:
    raw = bytes(range(256))

    await log.append([Event(id="1", source="camera", type="frame", data=raw, content_type="image/png")])

    found = await log.scan(START)
    assert restore(found.records[0], "").data == raw


async def test_an_event_that_cannot_be_written_leaves_its_batch_unwritten(log: Log) -> None:
    with raises(InvalidEvent):
        await log.append([new_event(1), new_event(2, data=object())])

    assert await read_ids(log) == []


async def test_a_refused_append_leaves_its_neighbours_alone(log: Log) -> None:
    await log.append([new_event(0)], stream="a")
    good = [log.append([new_event(number)]) for number in range(1, 50)]
    late = log.append([new_event(50)], stream="a", expect=NONE)
    used = log.append([new_event(51), new_event(0, data="other")])

    outcomes = await asyncio.gather(*good, late, used, return_exceptions=True)

    assert all(isinstance(outcome, Appended) for outcome in outcomes[:-2])
    assert isinstance(outcomes[-2], VersionConflict)
    assert isinstance(outcomes[-1], IdReused)
    assert sorted(await read_ids(log)) == sorted(f"id-{number}" for number in range(50))


async def test_a_transaction_appends_all_at_its_end_or_nothing(log: Log) -> None:
    async with log.transaction() as tx:
        appended = await log.append([new_event(1)], tx=tx)
        tx.append([new_event(2)])
        assert await read_ids(log) == []
    with contextlib.suppress(ZeroDivisionError):
        async with log.transaction() as tx:
            await log.append([new_event(3)], tx=tx)
            raise ZeroDivisionError

    assert appended == Appended(START, START)
    assert await read_ids(log) == ["id-1", "id-2"]


async def test_a_cancelled_append_is_whole_or_absent_and_the_log_goes_on(log: Log) -> None:
    for number in range(30):
        batch = new_events(3 * number, 3 * number + 3)
        appending = asyncio.ensure_future(log.append(batch, stream="a"))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        appending.cancel()
        await asyncio.wait([appending], timeout=LIMIT)

        await log.append(batch, stream="a")  # as its caller would: again, with the same ids

    versions = [record.stream_version for record in await read_stream(log, "a")]
    assert versions == list(range(1, 91))
    assert sorted(await read_ids(log)) == sorted(f"id-{number}" for number in range(90))
