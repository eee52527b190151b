"""Files that appear, change and go in a folder, as events. Needs the extra `files` (watchfiles).

What the system tells of is only where to look: what has happened is found by comparing with what was known before. So a
notice that comes twice, late, or for nothing makes no event, and a look round once a minute makes up for lost ones.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tidings import App, Event, event
from tidings.concurrency import DedicatedThread
from tidings.errors import ConfigurationError, MissingExtra
from tidings.events import contract_of, derived_id
from tidings.handling.report import say
from tidings.integrations.folder import Folder, Found, Version, differing

_STEP, _GATHER = 50, 200  # milliseconds: notices so close together are one look, and for so long at most
_ROUND = 60.0  # seconds between looks at everything
_BATCH = 500  # events in one append


@event("file:created", key="path", public=False)
class FileCreated:
    """A file is there that was not known."""

    path: str  # absolute
    size: int
    modified: datetime


@event("file:changed", key="path", public=False)
class FileChanged:
    """A known file has another size, or was written to."""

    path: str
    size: int
    modified: datetime


@event("file:deleted", key="path", public=False)
class FileDeleted:
    """A known file is gone."""

    path: str
    size: int  # as it was last
    modified: datetime


class FilesIn:
    """A source that publishes what happens to the files of a folder: FileCreated, FileChanged, FileDeleted.

        app.include(FilesIn("inbox/", glob="*.csv", existing=True, settled=0.5))

        @app.on(FileCreated)
        async def read(file: FileCreated) -> None: ...

    `glob` is for the name, or with a `/` for the path below the folder; `recursive` looks into its folders too. With
    `existing` the files found at the start are told of as created, unless their version was told of before: a version
    is path, time of change and size, and is told of once, however often and in however many processes this starts. With
    `settled`, a file is told of once its version has stayed the same for so many seconds: a half-written one waits.

    `watching` is set while the folder is watched.

    Raises:
        ConfigurationError: a setting makes no sense.
        MissingExtra: watchfiles is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        glob: str = "*",
        recursive: bool = False,
        existing: bool = False,
        settled: float = 0.0,
        name: str | None = None,
    ) -> None:
        if settled < 0 or not glob:
            raise ConfigurationError(f"settled={settled:g} is 0 or more seconds, and glob={glob!r} is not empty")
        self.name = name or f"files:{folder}"
        self.watching = asyncio.Event()
        self._notify = _rust_notify()
        self._folder = Folder(Path(folder), glob, recursive=recursive)
        self._recursive = recursive
        self._settled = settled
        self._known: Found | None = {} if existing else None  # None until the first look
        self._unsettled: dict[str, tuple[Version | None, float]] = {}  # as seen, and since when
        self._told: set[str] = set()  # names passed over that were said

    async def run(self, app: App) -> None:
        """Publish what happens, until cancelled; run again after an error, it finds what has happened meanwhile.

        Raises:
            OSError: the folder is not there.
            LogError: the log did not take the events.
        """
        thread, stop = DedicatedThread(self.name), threading.Event()
        try:
            watcher = await thread.call(self._begin)
            await self._watch(app, thread, watcher, stop)
        finally:
            self.watching.clear()
            stop.set()
            thread.close(wait=False)

    def _begin(self) -> Any:
        """Have the system note what happens from here on."""
        return self._notify([self._folder.root], False, False, 300, self._recursive, True)

    async def _watch(self, app: App, thread: DedicatedThread, watcher: Any, stop: threading.Event) -> None:
        looked = None
        while True:
            now = app.clock.monotonic()
            if looked is None or now - looked >= _ROUND:  # at first behind the watcher's back: nothing falls between
                looked = now
                self._compare(await thread.call(self._folder.look), None, now)
                self.watching.set()
            await self._publish_settled(app, thread)
            wait = partial(watcher.watch, _GATHER, _STEP, self._patience(app.clock.monotonic()), stop)
            notices = await thread.call(wait)
            if isinstance(notices, set):
                await self._look_at(frozenset(path for _, path in notices), app, thread)

    async def _look_at(self, noticed: frozenset[str], app: App, thread: DedicatedThread) -> None:
        if self._folder.root in noticed and not await thread.call(Path(self._folder.root).is_dir):
            raise FileNotFoundError(f"{self._folder.root} is gone: it is watched again when it is back")
        found = await thread.call(partial(self._folder.look_at, noticed))
        self._compare(found, noticed, app.clock.monotonic())

    def _compare(self, found: Found, noticed: frozenset[str] | None, now: float) -> None:
        if self._known is None:
            self._known = found
        for path in differing(self._known, found, noticed):
            version = found.get(path)
            if path not in self._unsettled or self._unsettled[path][0] != version:
                self._unsettled[path] = (version, now)
        for path in self._folder.unspeakable - self._told:
            say(logging.WARNING, "skip", source=self.name, path=ascii(path), reason="its name is no text")
        self._told |= self._folder.unspeakable

    def _patience(self, now: float) -> int:
        """Milliseconds to wait for a notice."""
        dues = [since + self._settled for _, since in self._unsettled.values()]
        return max(int((min(dues) - now) * 1000), _STEP) if dues else int(_ROUND * 1000)

    async def _publish_settled(self, app: App, thread: DedicatedThread) -> None:
        now = app.clock.monotonic()
        ready = [path for path, (_, since) in self._unsettled.items() if now - since >= self._settled]
        for start in range(0, len(ready), _BATCH):
            paths = ready[start : start + _BATCH]
            current = await thread.call(lambda: {path: self._folder.version(path) for path in paths})  # noqa: B023  # awaited
            moved = {path: version for path, version in current.items() if version != self._unsettled[path][0]}
            self._unsettled |= {path: (version, now) for path, version in moved.items()}
            await self._publish(app, [path for path in paths if path not in moved])

    async def _publish(self, app: App, paths: Iterable[str]) -> None:
        assert self._known is not None
        told = {path: self._unsettled[path][0] for path in paths}
        events = [made for path, version in told.items() if (made := self._event(app, path, version)) is not None]
        new = [each for each in events if not (await app.log.find(each.id)).records]
        await app.log.absorb(new)  # another process may have told of it meanwhile
        for path, version in told.items():
            del self._unsettled[path]
            if version is None:
                self._known.pop(path, None)
            else:
                self._known[path] = version

    def _event(self, app: App, path: str, version: Version | None) -> Event | None:
        """What happened to a file, if anything did; of one version it has always the same id."""
        assert self._known is not None
        before = self._known.get(path)
        if version == before:
            return None
        kind: Any = FileCreated if before is None else FileChanged if version is not None else FileDeleted
        shown = version or before
        assert shown is not None
        modified = datetime.fromtimestamp(shown.modified // 1_000_000 / 1000, UTC)
        contract = contract_of(kind)
        assert contract is not None
        return Event(
            id=derived_id("file", app.name, path, str(shown.modified), str(shown.size), "" if version else "deleted"),
            source=app.name,
            type=contract.name,
            key=path if len(path) <= 255 and path.isprintable() else derived_id("file", path),
            time=datetime.fromtimestamp(app.clock.now(), UTC),
            data=msgspec.Raw(contract.encode(kind(path, shown.size, modified))),
        )


def _rust_notify() -> Any:
    try:
        from watchfiles._rust_notify import RustNotify  # awatch does not say when it has begun to watch
    except ImportError:
        raise MissingExtra("files", "FilesIn") from None
    return RustNotify
