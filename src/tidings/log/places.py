"""Places in a log, as people write them."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import datetime

from tidings.clock import Clock, SystemClock
from tidings.errors import ConfigurationError
from tidings.events import Event, PatternSet
from tidings.log.interface import Log
from tidings.log.position import START, before
from tidings.log.record import restore
from tidings.log.slices import Slice, Where

_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|m|h|d|w)[a-z]* ago")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_POSITION = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
_BATCH = 1000
_FURTHEST = 20_000  # orders looked back at once


async def position(log: Log, text: str, clock: Clock | None = None) -> str:
    """The position that `earliest`, `latest`, a position, a time or `2h ago` stands for.

    Raises:
        ConfigurationError: it is none of these.
        LogTruncated: this log has no such position.
    """
    if text == "earliest":
        return START
    if text == "latest":
        return await log.head()
    if is_position(text):
        await log.survey(text, 1)
        return text
    if ago := _AGO.fullmatch(text.strip()):
        return await log.position_at((clock or SystemClock()).now() - float(ago[1]) * _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no place in a log: write earliest, latest, a position as 'tidings tail' shows it, or a time"
            " as in 2026-01-31T12:00 or '2h ago'"
        ) from None
    return await log.position_at(moment.astimezone().timestamp())  # without a zone it is meant as the clock here says


def is_position(text: str) -> bool:
    """Does it look like a position?"""
    return _POSITION.fullmatch(text) is not None


async def events(
    log: Log, patterns: Sequence[str], *, after: str, upto: str | None = None, follow: bool = False
) -> AsyncGenerator[Event, None]:
    """The events past `after` that fit a pattern: as far as `upto`, else to the end; with `follow`, what comes too."""
    hears = PatternSet(patterns)
    literal = all(pattern.literal for pattern in hears.patterns)
    where = Where(frozenset(patterns) if literal else None)
    end = upto or await log.head()
    if not follow and after >= end:
        return
    async for found in log.tail(after=after, where=where, batch=_BATCH) if follow else _to_end(log, after, where, end):
        for record in found.records:
            place = found.position(record)
            if not follow and place > end:
                return
            if hears.matches(record.type):
                yield restore(record, place)


async def count(
    log: Log, patterns: Sequence[str], *, after: str, upto: str, advance: Callable[[int], None] = lambda looked_at: None
) -> int:
    """How many events there are between two positions that fit a pattern, the later included."""
    hears, fit = PatternSet(patterns), 0
    async for each in _to_end(log, after, Where(lean=True), upto):
        fit += sum(hears.matches(record.type) for record in each.records if each.position(record) <= upto)
        advance(len(each.records))
    return fit


async def before_last(log: Log, patterns: Sequence[str], number: int) -> str:
    """The place that the last so many events that fit a pattern lie behind; the log's beginning, when it has less."""
    hears, end, span = PatternSet(patterns), await log.head(), _BATCH
    found: list[str] = []
    while end != START and len(found) < number:
        start = before(end, span)
        found = [*[place async for place in _fitting(log, hears, start, end)], *found]
        end, span = start, min(span * 2, _FURTHEST)
    return before(found[-number]) if len(found) >= number else START


async def _fitting(log: Log, hears: PatternSet, after: str, upto: str) -> AsyncIterator[str]:
    async for each in _to_end(log, after, Where(lean=True), upto):
        for record in each.records:
            place = each.position(record)
            if place <= upto and hears.matches(record.type):
                yield place


async def _to_end(log: Log, after: str, where: Where, end: str) -> AsyncIterator[Slice]:
    while after < end:
        found = await log.scan(after, where, _BATCH)
        after = found.upto
        yield found
        if found.at_head:
            return
