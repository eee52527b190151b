"""Events out of a log and into another: equal, once, and with whatever is wrong told by its line."""

import asyncio
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidings.clock import ManualClock
from tidings.errors import ConfigurationError, LogDamaged, LogTruncated
from tidings.events import Event
from tidings.log import Log, Where, open_log
from tidings.log.record import restore
from tidings.log.retention import Cut
from tidings.log.transfer import PUBLIC, Exported, exported, imported, last_position

_names = itertools.count()
_OWN = {"position": None, "recorded_at": None}


@pytest.fixture(params=["memory", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def logs(kind: str, tmp_path: Path) -> AsyncIterator[list[Log]]:
    urls = {"memory": "memory:transfer-{}", "sqlite": f"sqlite:///{tmp_path}/{{}}.db"}
    opened = [await open_log(urls[kind].format(next(_names)), clock=ManualClock()) for _ in range(2)]
    yield opened
    for log in opened:
        await log.close()


def event(number: int, type: str = "a:x", **attributes: Any) -> Event:
    return Event(**{"id": f"id-{number}", "source": "shop", "type": type, "data": {"n": number}} | attributes)


async def lines_of(log: Log, *patterns: str, **options: Any) -> list[bytes]:
    found = [part async for part in exported(log, patterns or ("**",), **options)]
    return b"".join(part.lines for part in found).splitlines(keepends=True)


async def take(log: Log, lines: list[bytes]) -> tuple[int, list[tuple[int, str]]]:
    parts = [part async for part in imported(log, lines)]
    return sum(part.new for part in parts), [(one.line, one.reason) for part in parts for one in part.wrong]


async def events_of(log: Log, where: Where | None = None) -> list[Event]:
    found, after = [], ""
    while True:
        look = await log.scan(after, where or Where())
        found += [restore(record, look.position(record)) for record in look.records]
        if look.at_head:
            return [msgspec.structs.replace(one, **_OWN) for one in found]
        after = look.upto


async def test_a_round_trip_gives_equal_events(logs: list[Log]) -> None:
    source, copy = logs
    text = {"content_type": "text/plain"}
    everything = event(
        2,
        key="k",
        subject="s",
        version=3,
        time=datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
        correlation_id="c",
        causation_id="id-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        headers={"tenant": "t1", "count": 3, "vip": True},
    )
    await source.append(
        [event(1), everything, event(3, data=msgspec.Raw(b'{"price": 1.10, "big": 12345678901234567890}'))]
    )
    await source.append([event(4, data=b"\x00\xff\n", content_type="image/png"), event(5, data="bye\n", **text)])
    await source.append([event(6, data=msgspec.Raw(b'{\n  "lines": 2\n}')), event(7, data=None)])
    await source.append([event(8), event(9)], stream="order-1")
    await source.append([event(10)], stream="order-2", public=True)
    await source.append([event(11)], public=False)
    await source.append([event(12)], stream="order-1")

    lines = await lines_of(source)
    assert await take(copy, lines) == (12, [])

    assert await events_of(copy) == await events_of(source)
    public = Where(public=True)
    assert await events_of(copy, public) == await events_of(source, public)
    assert len(lines) == 12
    assert all(json.loads(line)["specversion"] == "1.0" for line in lines)
    assert await take(copy, lines) == (0, [])


async def test_a_trimmed_stream_goes_along_with_its_versions(logs: list[Log]) -> None:
    source, copy = logs
    await source.append([event(number) for number in range(4)], stream="s")
    await source.append([event(9)])
    await source.trim({"a:x": Cut(2, streams=True)})

    await take(copy, await lines_of(source))

    assert await events_of(copy) == await events_of(source)
    assert [one.stream_version for one in await events_of(copy)] == [3, 4, None]


async def test_an_export_is_chosen_by_pattern_and_place(logs: list[Log]) -> None:
    log = logs[0]
    places = [(await log.append([event(number, ("a:x", "b:x")[number % 2])])).last for number in range(6)]

    def ids(lines: list[bytes]) -> list[str]:
        return [json.loads(line)["id"] for line in lines]

    assert ids(await lines_of(log, "a:*")) == ["id-0", "id-2", "id-4"]
    assert ids(await lines_of(log, after=places[1], upto=places[3])) == ["id-2", "id-3"]
    assert ids(await lines_of(log, "b:*", after=places[4])) == ["id-5"]
    with pytest.raises(LogTruncated):
        await lines_of(log, after="nonsense")


async def test_an_export_goes_on_after_the_last_line_that_is_whole(logs: list[Log]) -> None:
    log = logs[0]
    await log.append([event(number) for number in range(5)])
    lines = await lines_of(log)

    assert await lines_of(log, after=last_position(lines[1])) == lines[2:]
    with pytest.raises(ConfigurationError, match="no event that was exported"):
        last_position(lines[1][:20])
    with pytest.raises(ConfigurationError, match="no event that was exported"):
        last_position(b'{"specversion":"1.0","id":"1","source":"s","type":"a:x"}')


async def test_many_events_come_in_parts(logs: list[Log]) -> None:
    source, copy = logs
    await source.append([event(number) for number in range(2500)])

    parts = [part async for part in exported(source)]
    lines = b"".join(part.lines for part in parts).splitlines()
    taken = [(part.lines, part.new) async for part in imported(copy, lines)]

    assert [part.events for part in parts] == [1000, 1000, 500]
    assert taken == [(1000, 1000), (1000, 1000), (500, 500)]
    assert await events_of(copy) == await events_of(source)


async def test_wrong_lines_are_told_and_the_others_are_taken(logs: list[Log]) -> None:
    source, copy = logs
    await source.append([event(number) for number in range(3)])
    await source.append([event(3), event(4), event(5)], stream="s")
    lines = await lines_of(source)
    lines[1] = lines[1][:30] + b"\n"
    lines[4] = b'{"specversion":"0.3"}\n'
    lines.insert(2, b"\n")

    new, wrong = await take(copy, lines)

    assert [line for line, _ in wrong] == [2, 6, 7]
    assert new == 3
    assert "not readable as JSON" in wrong[0][1]
    assert "specversion" in wrong[1][1]
    assert "is at version 1, expected was 2" in wrong[2][1]
    assert [one.id for one in await events_of(copy)] == ["id-0", "id-2", "id-3"]


async def test_an_import_that_was_cut_short_goes_on_when_it_is_begun_again(logs: list[Log]) -> None:
    source, copy = logs
    await source.append([event(number) for number in range(1500)])
    await source.append([event(number) for number in range(1500, 2500)], stream="s")
    lines = await lines_of(source)
    async for _ in imported(copy, lines):
        break  # whoever did it was killed

    assert await take(copy, lines) == (1500, [])
    assert await events_of(copy) == await events_of(source)


async def collect(log: Log, parts: list[Exported]) -> None:
    async for part in exported(log):
        parts.append(part)


async def test_damaged_events_are_left_out_only_when_that_is_asked_for(tmp_path: Path) -> None:
    log = await open_log(f"sqlite:///{tmp_path}/log.db")
    for number in range(1, 11):
        await log.append([event(number)], public=number % 2 == 1)

    def damage() -> None:
        connection = sqlite3.connect(tmp_path / "log.db")
        connection.execute("UPDATE tidings_events SET data = X'31' WHERE position IN (5, 6)")
        connection.execute("UPDATE tidings_events SET envelope = X'5b5d' WHERE position = 9")
        connection.commit()
        connection.close()

    await asyncio.to_thread(damage)
    parts: list[Exported] = []
    with pytest.raises(LogDamaged):
        await collect(log, parts)
    assert sum(part.events for part in parts) == 4

    parts = [part async for part in exported(log, skip_damaged=True)]
    await log.close()

    lines = b"".join(part.lines for part in parts).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"id-{number}" for number in (1, 2, 3, 4, 7, 8, 10)]
    assert [PUBLIC in json.loads(line) for line in lines] == [False, True, False, True, False, True, True]
    assert [int(place[-2:], 16) for part in parts for place in part.damaged] == [5, 6, 9]
