"""Lines of JSON as events: from the standard input, a file, a socket, or whatever gives text.

A line is a CloudEvent, or with a `type` the data alone. What is no event is never lost silently: it is counted, said
with its number, and written to a file where one is named.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tidings import App, Event
from tidings.errors import (
    ConfigurationError,
    ContractError,
    IdReused,
    InvalidEvent,
    InvalidLine,
    InvalidName,
    PartialDuplicate,
)
from tidings.events import Catalog, check_name, from_cloudevent, split_version
from tidings.events.documents import parse
from tidings.events.envelope import is_json
from tidings.handling.report import say
from tidings.integrations.text import Line, LineReader

_SHOWN = 100  # bad lines that the report keeps; the rest is counted
_UNFIT = (InvalidEvent, InvalidName, ContractError, ConfigurationError, IdReused)  # of one event, whatever the others


class LinesReport(msgspec.Struct):
    """What became of the lines: how many are recorded, how many were no events, and the first hundred of those."""

    published: int = 0
    rejected: int = 0
    rejects: list[InvalidLine] = []


class _Made(NamedTuple):
    line: Line
    event: Event  # made once, so that a repeat has the same id


class LinesIn:
    """A source that publishes each line of a stream: `app.include(LinesIn())`, `await LinesIn("a.ndjson").run(app)`.

    `stream` is the standard input, a path, an open file, or anything async that gives lines (an asyncio.StreamReader).
    Without `type` each line is a CloudEvent; with it, the data of an event of that type. Up to `batch` lines become one
    append. A bad line is passed over, and added to the file `rejects` as JSON with its `line`, `reason` and `text`;
    with `strict` it is raised, what came before it is published, and nothing after it is.

    CloudEvents bring their ids, so that the same lines again are recorded once; data alone is new each time.

    Raises:
        ConfigurationError, InvalidName: a setting makes no sense.
    """

    def __init__(
        self,
        stream: Any = None,  # whatever gives lines
        type: str | None = None,
        *,
        batch: int = 500,
        longest: int = 1 << 22,
        strict: bool = False,
        rejects: str | Path | None = None,
        on_reject: Callable[[InvalidLine], object] | None = None,
        name: str = "lines",
    ) -> None:
        if batch < 1 or longest < 1:
            raise ConfigurationError(f"batch={batch} and longest={longest} take no line: use 1 or more")
        self.name = name
        self.report = LinesReport()
        self._type = None if type is None else check_name(type)
        self._batch = batch
        self._longest = longest
        self._strict = strict
        self._rejects = None if rejects is None else Path(rejects)
        self._on_reject = on_reject or self._say
        self._reader = LineReader(stream, longest=longest)
        self._lines: list[Line] = []  # taken, and nothing made of them yet
        self._made: list[_Made] = []  # not yet published
        self._unwritten: list[InvalidLine] = []
        self._refused: InvalidLine | None = None

    async def run(self, app: App) -> LinesReport:
        """Publish until the stream ends; run again after an error, it goes on where it was, and no line is lost.

        Raises:
            InvalidLine: a line is no event, and it is `strict`.
            LogError, OSError: the log did not take the events, or the stream gave no more.
        """
        await self._publish(app)
        try:
            while not self._reader.is_over:
                self._lines += await self._reader.read()
                await self._publish(app)
        except asyncio.CancelledError:
            await self._publish(app)  # nobody else can publish what was taken from the stream
            raise
        return self.report

    async def _publish(self, app: App) -> None:
        """All that was taken."""
        while self._lines or self._made or self._unwritten:
            if not self._made:
                self._make(app, app.catalog())
            await self._append(app)
            await self._write_rejects()
        if self._refused is not None:
            raise self._refused

    def _make(self, app: App, catalog: Catalog) -> None:
        """Events of the next lines."""
        taken, self._lines = self._lines[: self._batch], self._lines[self._batch :]
        for line in taken:
            try:
                self._made.append(_Made(line, self._event(app, catalog, line.text)))
            except _UNFIT as error:
                self._reject(line, error)
            if self._refused is not None:
                self._lines.clear()
                return

    def _event(self, app: App, catalog: Catalog, text: bytes) -> Event:
        if len(text) > self._longest:
            raise InvalidEvent("", f"it is longer than {self._longest:,} bytes")
        event = from_cloudevent(text, raw=True) if self._type is None else self._around(app, catalog, self._type, text)
        contract = catalog.contract_for(event.type, event.version)
        if contract is not None and is_json(event.content_type):  # here one misfit is found without spoiling the others
            _ = contract.decode(event.data) if isinstance(event.data, msgspec.Raw) else contract.convert(event.data)
        return event

    def _around(self, app: App, catalog: Catalog, type: str, data: bytes) -> Event:
        """The event of a line that is its data alone."""
        parse(data)
        plain, version = split_version(type)
        contract = catalog.contract_for(plain, version)
        version = version or (1 if contract is None else contract.version)
        time = datetime.fromtimestamp(app.clock.now(), UTC)
        return Event(source=app.name, type=plain, version=version, time=time, data=msgspec.Raw(data))

    async def _append(self, app: App) -> None:
        """What was made, in one append; where that cannot be, one event after the other."""
        if not self._made:
            return
        try:
            await app.publish_many([each.event for each in self._made])
        except (PartialDuplicate, *_UNFIT):
            await self._append_each(app)
        else:
            self.report.published += len(self._made)
            self._made.clear()

    async def _append_each(self, app: App) -> None:
        while self._made:
            line, event = self._made[0]
            try:
                await app.publish(event)
                self.report.published += 1
            except _UNFIT as error:
                self._reject(line, error)
            del self._made[0 : None if self._refused is not None else 1]

    def _reject(self, line: Line, error: Exception) -> None:
        refused = InvalidLine(line.number, str(error), line.text.decode(errors="replace"))
        self.report.rejected += 1
        if len(self.report.rejects) < _SHOWN:
            self.report.rejects.append(refused)
        if self._rejects is not None:
            self._unwritten.append(refused)
        self._on_reject(refused)
        if self._strict:
            self._refused = refused
            self._lines.clear()

    async def _write_rejects(self) -> None:
        if self._unwritten and self._rejects is not None:
            written = list(self._unwritten)
            await asyncio.to_thread(_add, self._rejects, written)
            del self._unwritten[: len(written)]

    def _say(self, refused: InvalidLine) -> None:
        say(logging.WARNING, "reject", source=self.name, line=refused.number, reason=refused.reason)


def _add(path: Path, refused: list[InvalidLine]) -> None:
    documents = [{"line": each.number, "reason": each.reason, "text": each.text} for each in refused]
    with path.open("ab") as file:
        file.write(msgspec.json.Encoder().encode_lines(documents))
