"""Files that appear, change and go: a real folder, really watched."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import watchfiles  # noqa: F401  # imported here, and not when the first test makes a source on its event loop

from tests.handling.stage import recorded
from tidings import App, Event
from tidings.errors import ConfigurationError
from tidings.handling.listening import Listener
from tidings.integrations.files import FilesIn

BOUND = 20.0  # seconds that a test waits for anything at most


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App("shop", f"sqlite:///{tmp_path}/log.db") as app:
        yield app


async def write(path: Path, text: str = "x") -> None:
    await asyncio.to_thread(path.write_text, text)


class Watched:
    """An application with one source, at work, and a listener to it."""

    def __init__(self, app: App, source: FilesIn) -> None:
        self.source = source
        self._app = app
        self._block: Any = None
        self._listener: Listener

    async def __aenter__(self) -> "Watched":
        self._app._sources.clear()
        self._app.include(self.source)
        self._listener = await self._app.listen("file:*", events=True).__aenter__()
        self._block = self._app.running()
        await self._block.__aenter__()
        async with asyncio.timeout(BOUND):
            await self.source.watching.wait()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._block.__aexit__(*raised)
        await self._listener.aclose()

    async def heard(self) -> tuple[str, str, int]:
        """The next event: its type, the file's name, its size."""
        async with asyncio.timeout(BOUND):
            event: Event = await anext(self._listener)
        return event.type, os.path.basename(event.data["path"]), event.data["size"]


async def test_files_appear_change_and_go(app: App, inbox: Path) -> None:
    await write(inbox / "old.csv")

    async with Watched(app, FilesIn(inbox)) as watched:
        await write(inbox / "a.csv", "12")
        assert await watched.heard() == ("file:created", "a.csv", 2)
        await write(inbox / "a.csv", "123")
        assert await watched.heard() == ("file:changed", "a.csv", 3)
        await asyncio.to_thread((inbox / "a.csv").unlink)
        assert await watched.heard() == ("file:deleted", "a.csv", 3)
        await write(inbox / "old.csv", "1234")
        assert await watched.heard() == ("file:changed", "old.csv", 4)

    events = await recorded(app.log)
    assert events[0].key == events[0].data["path"] == str(inbox / "a.csv")
    assert [event.type for event in events] == ["file:created", "file:changed", "file:deleted", "file:changed"]


async def test_a_renamed_file_is_one_that_went_and_one_that_came(app: App, inbox: Path) -> None:
    await write(inbox / "a.csv")

    async with Watched(app, FilesIn(inbox)) as watched:
        await asyncio.to_thread((inbox / "a.csv").rename, inbox / "b.csv")

        assert {await watched.heard(), await watched.heard()} == {
            ("file:deleted", "a.csv", 1),
            ("file:created", "b.csv", 1),
        }


async def test_only_names_that_fit_are_told_of_and_folders_only_when_asked(app: App, inbox: Path) -> None:
    async with Watched(app, FilesIn(inbox, glob="*.csv")) as watched:
        await asyncio.to_thread((inbox / "deep").mkdir)
        await write(inbox / "deep" / "a.csv")
        await write(inbox / "a.txt")
        await write(inbox / "b.csv")
        assert await watched.heard() == ("file:created", "b.csv", 1)

    async with Watched(app, FilesIn(inbox, glob="deep/*.csv", recursive=True, existing=True)) as watched:
        assert await watched.heard() == ("file:created", "a.csv", 1)


async def test_a_folder_moved_in_brings_its_files_and_takes_them_along(app: App, inbox: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    await asyncio.to_thread(outside.mkdir)
    await write(outside / "a.csv")

    async with Watched(app, FilesIn(inbox, recursive=True)) as watched:
        await asyncio.to_thread(outside.rename, inbox / "deep")
        assert await watched.heard() == ("file:created", "a.csv", 1)
        await asyncio.to_thread((inbox / "deep").rename, outside)
        assert await watched.heard() == ("file:deleted", "a.csv", 1)


async def test_files_that_came_while_it_was_away_are_told_of_once_over_all_starts(app: App, inbox: Path) -> None:
    for number in range(3):
        await write(inbox / f"{number}.csv")
    async with Watched(app, FilesIn(inbox, existing=True)) as watched:
        assert {(await watched.heard())[1] for _ in range(3)} == {"0.csv", "1.csv", "2.csv"}
        await write(inbox / "1.csv", "changed")
        assert await watched.heard() == ("file:changed", "1.csv", 7)

    await write(inbox / "3.csv")
    async with Watched(app, FilesIn(inbox, existing=True)) as watched:
        assert await watched.heard() == ("file:created", "3.csv", 1)
        await write(inbox / "4.csv")
        assert await watched.heard() == ("file:created", "4.csv", 1)

    assert len(await recorded(app.log)) == 6


async def test_two_processes_watching_one_folder_tell_of_a_file_once(app: App, inbox: Path) -> None:
    twin = App("shop", app.log_url)
    async with twin, Watched(app, FilesIn(inbox)) as one, Watched(twin, FilesIn(inbox)) as two:
        await write(inbox / "a.csv")
        assert await one.heard() == await two.heard() == ("file:created", "a.csv", 1)
        await write(inbox / "b.csv")
        assert await one.heard() == await two.heard() == ("file:created", "b.csv", 1)

    assert len(await recorded(app.log)) == 2


async def test_a_half_written_file_waits_until_it_is_whole(app: App, inbox: Path) -> None:
    def write_slowly() -> None:
        with (inbox / "big.csv").open("w") as file:
            for _ in range(20):
                file.write("x" * 400)
                file.flush()
                pause.wait(0.05)

    pause = threading.Event()  # never set: it is the time between two writes
    async with Watched(app, FilesIn(inbox, settled=0.6)) as watched:
        writing = asyncio.create_task(asyncio.to_thread(write_slowly))
        assert await watched.heard() == ("file:created", "big.csv", 8000)
        assert writing.done()

    assert len(await recorded(app.log)) == 1


async def test_a_folder_that_is_missing_is_watched_once_it_is_there(app: App, inbox: Path) -> None:
    source = FilesIn(inbox / "later")
    app.include(source)

    async with app.listen("file:*") as files, app.running(), asyncio.timeout(BOUND):
        while not (troubles := (await app.health()).troubles):
            await asyncio.to_thread(inbox.exists)
        assert "later" in troubles[0]
        await asyncio.to_thread((inbox / "later").mkdir)
        await source.watching.wait()
        await write(inbox / "later" / "a.csv")
        assert (await anext(files))["size"] == 1


async def test_what_happened_while_the_log_failed_is_told_of_afterwards(app: App, inbox: Path) -> None:
    source, failures = FilesIn(inbox), 2
    absorb = app.log.absorb

    async def failing(*given: Any, **named: Any) -> int:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("no room")
        return await absorb(*given, **named)

    app.log.absorb = failing  # type: ignore[method-assign]  # a disk that is full for a while
    async with Watched(app, source) as watched:
        await write(inbox / "a.csv")
        assert await watched.heard() == ("file:created", "a.csv", 1)
        assert (await app.health()).sources[0].restarts == 2


async def test_a_name_that_is_no_text_is_passed_over_and_said(app: App, inbox: Path, caplog: Any) -> None:
    def make() -> None:
        with open(os.fsencode(inbox) + b"/\xff.csv", "wb"):
            pass

    async with Watched(app, FilesIn(inbox)) as watched:
        await asyncio.to_thread(make)
        await write(inbox / ("long" * 60 + ".csv"))
        await write(inbox / "line\nbreak.csv")
        names = {(await watched.heard())[1] for _ in range(2)}

    assert names == {"long" * 60 + ".csv", "line\nbreak.csv"}
    assert "its name is no text" in caplog.text


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="settled=-1"):
        FilesIn(tmp_path, settled=-1)
