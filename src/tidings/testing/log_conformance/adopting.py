"""What adopting promises: another log's events come in once, each where it stood in its stream."""

from typing import Any

from tidings.errors import InvalidEvent, VersionConflict
from tidings.events import Event
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.slices import Where
from tidings.testing.log_conformance.words import (
    ids_of,
    new_event,
    raises,
    read_ids,
    read_stream,
    versions_of,
)


def in_stream(number: int, version: int, stream: str = "s", **attributes: Any) -> Event:
    return new_event(number, stream=stream, stream_version=version, **attributes)


async def adopt(log: Log, *events: Event) -> int:
    return await log.adopt(events, [False] * len(events))


async def test_what_is_adopted_is_recorded_once(log: Log) -> None:
    await log.append([new_event(1)])

    assert await adopt(log, new_event(0), new_event(1), new_event(2), new_event(2)) == 2
    assert await adopt(log, new_event(0), new_event(1), new_event(2)) == 0
    assert await adopt(log) == 0
    assert await read_ids(log) == ["id-1", "id-0", "id-2"]


async def test_what_is_adopted_is_as_public_as_it_was(log: Log) -> None:
    await log.adopt([new_event(0), new_event(1), in_stream(2, 1)], [True, False, True])

    assert ids_of(await log.scan(START, Where(public=True))) == ["id-0", "id-2"]


async def test_adopted_events_keep_their_versions(log: Log) -> None:
    await adopt(log, in_stream(0, 3), in_stream(1, 1, "t"), in_stream(2, 4), new_event(9), in_stream(3, 5))

    assert versions_of(await read_stream(log, "s")) == [3, 4, 5]
    assert versions_of(await read_stream(log, "t")) == [1]
    assert (await log.append([new_event(10)], stream="s", expect=5)).stream_version == 6


async def test_adopting_goes_on_where_a_stream_is(log: Log) -> None:
    await adopt(log, in_stream(0, 1), in_stream(1, 2))

    assert await adopt(log, in_stream(0, 1), in_stream(1, 2), in_stream(2, 3)) == 1
    assert versions_of(await read_stream(log, "s")) == [1, 2, 3]


async def test_a_hole_in_a_stream_is_refused_and_nothing_is_recorded(log: Log) -> None:
    with raises(VersionConflict) as refused:
        await adopt(log, new_event(9), in_stream(0, 1), in_stream(2, 3))

    assert (refused.error.stream, refused.error.expected, refused.error.actual) == ("s", 2, 1)
    assert await read_ids(log) == []
    assert (await log.append([new_event(5)], stream="s", expect=0)).stream_version == 1
    with raises(VersionConflict):
        await adopt(log, in_stream(7, 1))


async def test_a_stream_without_a_version_is_refused(log: Log) -> None:
    with raises(InvalidEvent):
        await adopt(log, new_event(0, stream="s"))
    assert await read_ids(log) == []
