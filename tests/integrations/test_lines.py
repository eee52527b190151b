"""Lines of JSON as events: from files, pipes and async readers, with every bad line accounted for."""

import asyncio
import io
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.handling.stage import BOUND, OrderCreated, recorded
from tidings import App
from tidings.errors import ConfigurationError, DiskFull, InvalidLine, InvalidName
from tidings.integrations.lines import LinesIn

CHILD = """
import asyncio, sys
from tidings import App
from tidings.integrations.lines import LinesIn

app = App("shop", sys.argv[1])
app.include(LinesIn(type="note:taken"))

@app.on("note:taken")
async def hear(note):
    print(note["n"], flush=True)

asyncio.run(app.run())
"""


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db"
    async with App("shop", url, contracts=[OrderCreated]) as app:
        yield app


def cloudevent(number: int, **attributes: Any) -> str:
    event = {"specversion": "1.0", "id": f"e{number}", "source": "till", "type": "order:created"}
    return json.dumps(event | {"data": {"order_id": number}} | attributes)


def text(*lines: str) -> io.BytesIO:
    return io.BytesIO("\n".join(lines).encode())


async def test_each_line_is_a_cloudevent(app: App) -> None:
    report = await LinesIn(text(cloudevent(1), "", cloudevent(2, partitionkey="k"))).run(app)

    events = await recorded(app.log)
    assert [(each.id, each.source, each.key, each.data) for each in events] == [
        ("e1", "till", "1", {"order_id": 1}),
        ("e2", "till", "k", {"order_id": 2}),
    ]
    assert (report.published, report.rejected) == (2, 0)


async def test_with_a_type_each_line_is_the_data(app: App) -> None:
    await LinesIn(text('{"order_id": 1, "total": "1.10"}', '{"order_id": 2}'), "order:created").run(app)

    events = await recorded(app.log)
    assert [(each.source, each.type, each.key) for each in events] == [
        ("shop", "order:created", "1"),
        ("shop", "order:created", "2"),
    ]
    assert all(each.time for each in events)


BAD = {
    "{": "not readable as JSON",
    "[]": "expected a JSON object",
    '{"id": "x"}': "CloudEvents '1.0'",
    cloudevent(3, type="no name"): "invalid at 'type'",
    cloudevent(4, data={"order_id": "four"}): r"\$.order_id",
    cloudevent(5, data=None): "order:created",
    "x" * 3000: "longer than 2,000 bytes",
    cloudevent(1, data={"order_id": 9}): "recorded with other content",
}


async def test_bad_lines_are_counted_named_and_kept_and_spoil_no_other(app: App, tmp_path: Path) -> None:
    lines = LinesIn(text(cloudevent(1), *BAD, cloudevent(2)), longest=2000, rejects=tmp_path / "rejects.ndjson")

    report = await lines.run(app)

    assert [each.id for each in await recorded(app.log)] == ["e1", "e2"]
    assert (report.published, report.rejected) == (2, len(BAD))
    kept = await asyncio.to_thread((tmp_path / "rejects.ndjson").read_text)
    written = [json.loads(line) for line in kept.splitlines()]
    assert [each["line"] for each in written] == [*range(2, 2 + len(BAD))]
    for (line, reason), each in zip(BAD.items(), written, strict=True):
        assert each["text"] == line[:2001]
        assert re.search(reason, each["reason"])


async def test_strict_ends_at_the_first_bad_line(app: App) -> None:
    lines = LinesIn(text(cloudevent(1), "{", cloudevent(2)), strict=True)

    for _ in range(2):  # run again, it is no less strict
        with pytest.raises(InvalidLine, match="line 2 was not published") as refused:
            await lines.run(app)

    assert (refused.value.number, refused.value.text) == (2, "{")
    assert [each.id for each in await recorded(app.log)] == ["e1"]


async def test_the_same_lines_again_are_recorded_once(app: App) -> None:
    first = [cloudevent(number) for number in range(10)]
    await LinesIn(text(*first)).run(app)

    report = await LinesIn(text(*first, *[cloudevent(number) for number in range(10, 20)]), batch=7).run(app)

    assert (report.published, report.rejected) == (20, 0)
    assert [each.id for each in await recorded(app.log)] == [f"e{number}" for number in range(20)]


async def test_what_the_log_did_not_take_is_published_by_the_next_run(app: App) -> None:
    publish, failures = app.publish_many, 2

    async def failing(events: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise DiskFull
        return await publish(events)

    app.publish_many = failing  # type: ignore[method-assign, assignment]  # a disk that is full for a while
    lines = LinesIn(text(*[cloudevent(number) for number in range(10)]), batch=4)

    for _ in range(2):
        with pytest.raises(DiskFull):
            await lines.run(app)
    report = await lines.run(app)

    assert report.published == 10
    assert [each.id for each in await recorded(app.log)] == [f"e{number}" for number in range(10)]


async def test_every_kind_of_stream_is_read(app: App, tmp_path: Path) -> None:
    path = tmp_path / "lines.ndjson"
    await asyncio.to_thread(path.write_bytes, b"\xef\xbb\xbf1\r\n2\r\n3")
    reader = asyncio.StreamReader()
    reader.feed_data(b"1\n2\n3")
    reader.feed_eof()

    async def numbers() -> AsyncIterator[str]:
        for number in (1, 2, 3):
            yield str(number)

    for stream in (path, str(path), reader, numbers(), io.StringIO("1\n2\n3"), io.TextIOWrapper(text("1", "2", "3"))):
        report = await LinesIn(stream, "number:said").run(app)
        assert report.published == 3

    assert [each.data for each in await recorded(app.log)] == [1, 2, 3] * 6


async def test_a_line_that_never_ends_does_not_fill_the_memory(app: App) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        reader.feed_data(b"1\n")
        for _ in range(64):
            reader.feed_data(b"x" * 10_000)
            yield b""
        reader.feed_data(b"\n2\n")
        reader.feed_eof()

    reader = asyncio.StreamReader()
    lines = LinesIn(reader, "number:said", longest=1000)
    running = asyncio.create_task(lines.run(app))
    async for _ in pieces():
        await asyncio.sleep(0)
        assert len(lines._reader._begun) <= 1001
    report = await asyncio.wait_for(running, BOUND)

    assert (report.published, [each.number for each in report.rejects]) == (2, [2])


async def test_a_stop_publishes_what_was_taken_and_a_later_run_goes_on(app: App) -> None:
    reader = asyncio.StreamReader()
    lines = LinesIn(reader, "number:said")
    reader.feed_data(b"1\n2")
    app.include(lines)
    async with app.listen("number:said") as numbers, asyncio.timeout(BOUND):
        async with app.running():
            assert await anext(numbers) == 1
        reader.feed_data(b"2\n3\n")
        reader.feed_eof()
        async with app.running():
            assert [await anext(numbers), await anext(numbers)] == [22, 3]


async def test_a_process_fed_on_its_standard_input_publishes_and_handles_each_line(tmp_path: Path) -> None:
    url, source = f"sqlite:///{tmp_path}/log.db", str(Path(__file__).parents[2] / "src")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url, env={"PYTHONPATH": source}, stdin=-1, stdout=-1, stderr=-1
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        async with asyncio.timeout(60):
            child.stdin.write(b'{"n": 1}\n{"n": 2}\nbad\n{"n":')
            assert [await child.stdout.readline() for _ in range(2)] == [b"1\n", b"2\n"]
            child.stdin.write(b" 3}\n")
            assert await child.stdout.readline() == b"3\n"
            child.terminate()  # while it waits for more
            assert await child.wait() == 0
            assert child.stderr is not None
            said = (await child.stderr.read()).decode()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert "line=3" in said
    assert "Fatal" not in said


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="batch=0"):
        LinesIn(batch=0)
    with pytest.raises(ConfigurationError, match="gives no lines"):
        LinesIn(7)
    with pytest.raises(InvalidName):
        LinesIn(type="no name")
