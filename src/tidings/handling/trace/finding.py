"""Finding what belongs to a trace: backwards by the cause's id, forwards by a look at what was recorded after.

Effects carry their cause's id and correlation id in the envelope, which has no index: events are appended a million
times for each that is traced. So the look forwards reads on, and ends where nothing more can be expected.
"""

import re
from collections.abc import Iterable, Sequence

from tidings.errors import LogTruncated, UnknownEvent
from tidings.events import Event, derived_id
from tidings.handling.trace.model import Trace, Traced
from tidings.handling.trace.receptions import hears, receptions, repeats
from tidings.log import START, Lineage, Log, Record, Where
from tidings.log.position import before, order_in
from tidings.log.record import from_microseconds, restore

DEPTH = 20  # causes away from the event
LIMIT = 200  # events in all
_POSITION = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
_SHORTEST = 4  # characters of an id's beginning
_FURTHEST = 50  # looks past the last effect found, each at 20,000 events: nobody waits for more
_MOST_IDS = 16  # looked for at once
_MOST_INDEX = 64  # effects of one handler that are recognized as its own
_AT_ONCE = 500


class Found:
    """One event on the way into a trace."""

    def __init__(self, record: Record, position: str, depth: int = 0) -> None:
        self.record = record
        self.event: Event = restore(record, position)
        self.depth = depth
        self.effects: list[Found] = []
        self.left_out = 0

    @property
    def correlation(self) -> str:
        """What all that it causes has in common."""
        return self.event.correlation_id or self.event.id


async def trace(log: Log, asked: str, *, app: str = "", depth: int = DEPTH, limit: int = LIMIT) -> Trace:
    """The trace of an event, given by id, by the beginning of one, or by position. `app` is whose log it is.

    Raises:
        UnknownEvent: there is no such event, or there are several.
    """
    event = await locate(log, asked)
    causes, lost, are_all = await _causes(log, event, depth)
    looked = _Look(log, event, depth, max(limit - len(causes), 1))
    await looked.run()
    path = [*causes, *looked.found]
    lineage = await _lineage(log, path)
    public = await _public(log, path, lineage)
    traced = {found.record.order: _traced(found, lineage, app, public) for found in path}
    for cause, effect in zip(causes, path[1:], strict=False):
        traced[cause.record.order].effects = [traced[effect.record.order]]
    for found in looked.found:
        traced[found.record.order].effects = [traced[effect.record.order] for effect in found.effects]
    _name_authors(traced.values(), lineage)
    top = traced[event.record.order]
    top.is_asked = True
    is_complete = are_all and looked.is_complete
    return Trace(event.event.id, traced[path[0].record.order], lost, looked.upto, is_complete)


async def locate(log: Log, asked: str) -> Found:
    """The event that is meant.

    Raises:
        UnknownEvent: there is none, or there are several.
    """
    exact = await log.find(asked)
    if exact.records:
        return Found(exact.records[0], exact.position(exact.records[0]))
    if _POSITION.fullmatch(asked):
        return await _at(log, asked)
    begun = await log.find(asked, prefix=True) if len(asked) >= _SHORTEST else exact
    ids = sorted({restore(record, begun.position(record)).id for record in begun.records})
    if len(ids) != 1:
        raise UnknownEvent(asked, ids)
    return Found(begun.records[0], begun.position(begun.records[0]))


async def _at(log: Log, position: str) -> Found:
    try:
        await log.scan(position, limit=1)  # is there such a place? The one before the first is in every log
        found = await log.scan(before(position), limit=1)
    except LogTruncated:
        raise UnknownEvent(position) from None
    if not found.records or found.records[0].order != order_in(position):
        raise UnknownEvent(position)
    return Found(found.records[0], found.position(found.records[0]))


async def _causes(log: Log, event: Found, depth: int) -> tuple[list[Found], str | None, bool]:
    """What led to an event, the oldest first; the id of the cause of that, if it is not in this log; is that all?"""
    path = [event]
    known = {event.record.order}
    while (cause := path[0].event.causation_id) is not None:
        found = await log.find(cause)
        if not found.records:
            return path[:-1], cause, True
        record = found.records[0]
        if record.order in known:  # whoever publishes can say anything of causes, a ring too
            break
        if len(path) > depth:
            return path[:-1], None, False
        known.add(record.order)
        path.insert(0, Found(record, found.position(record)))
    return path[:-1], None, True


class _Look:
    """The look forwards, for what an event caused."""

    def __init__(self, log: Log, event: Found, depth: int, limit: int) -> None:
        self._log = log
        self._depth = depth
        self._limit = limit
        self._by_id = {event.event.id: event}
        self._ids = list(dict.fromkeys([event.correlation, event.event.id]))
        self.found = [event]  # causes before effects
        self.upto = event.event.position or START
        self.is_complete = True

    async def run(self) -> None:
        """Look on to the end of the log; or so far past the last effect that no more is to be expected."""
        looks, at_head = 0, False
        while not at_head:
            if looks > _FURTHEST or sum(each.left_out for each in self.found) > self._limit:
                self.is_complete = False
                return
            slice_ = await self._log.related(self._ids, self.upto, _AT_ONCE)
            self.upto, at_head, looks = slice_.upto, slice_.at_head, looks + 1
            known = len(self.found)
            for record in slice_.records:
                is_new_name = self._take(Found(record, slice_.position(record)))
                looks = 0 if len(self.found) > known else looks
                if is_new_name:  # what comes next may speak of this one alone
                    self.upto, at_head = slice_.position(record), False
                    break

    def _take(self, effect: Found) -> bool:
        """Put an event to its cause; says whether there is one more id to look for."""
        cause = self._by_id.get(effect.event.causation_id or "")
        if cause is None or effect.event.id in self._by_id:
            return False
        effect.depth = cause.depth + 1
        if effect.depth > self._depth or len(self.found) >= self._limit:
            cause.left_out += 1
            self.is_complete = False
            return False
        cause.effects.append(effect)
        self._by_id[effect.event.id] = effect
        self.found.append(effect)
        return self._look_for(effect)

    def _look_for(self, effect: Found) -> bool:
        """Few ids are all looked for, as an effect may have been given another correlation by hand."""
        new = [each for each in (effect.correlation, effect.event.id) if each not in self._ids]
        taken = new[: max(_MOST_IDS - len(self._ids), 0)]
        self._ids += taken
        return bool(taken)


async def _lineage(log: Log, path: Sequence[Found]) -> Lineage:
    places = [(each.record.order, each.record.slot) for each in path]
    parts = [await log.ledger.lineage(places[start : start + _AT_ONCE]) for start in range(0, len(places), _AT_ONCE)]
    fates = {fate.number: fate for part in parts for fate in part.fates}
    parked = {(one.group, one.order): one for part in parts for one in part.parked}
    return Lineage(parts[-1].groups, [fates[number] for number in sorted(fates)], list(parked.values()))


async def _public(log: Log, path: Sequence[Found], lineage: Lineage) -> set[int]:
    """The orders of what may be relayed: an outbound group passes over all else. Not asked where there is none."""
    public: set[int] = set()
    if any(map(_is_outbound, [group.name for group in lineage.groups])):
        for found in path:
            where = Where(types=frozenset({found.record.type}), public=True)
            seen = await log.scan(before(found.event.position or START), where, limit=1)
            public.update(record.order for record in seen.records if record.order == found.record.order)
    return public


def _traced(found: Found, lineage: Lineage, app: str, public: set[int]) -> Traced:
    event, record = found.event, found.record
    heard = [each for each in receptions(record, lineage) if not _is_outbound(each.group) or record.order in public]
    return Traced(
        event.id,
        event.source,
        event.type,
        event.version,
        event.position or "",
        from_microseconds(record.recorded_at),
        event.key,
        event.stream,
        event.causation_id,
        event.correlation_id,
        is_foreign=bool(app) and event.source != app,
        receptions=heard,
        unheard_by=[group.name for group in lineage.groups if not hears(group, record)],
        repeats=repeats(record, lineage.fates),
        left_out=found.left_out,
    )


def _is_outbound(group: str) -> bool:
    return group.endswith(":outbound")


def _name_authors(events: Iterable[Traced], lineage: Lineage) -> None:
    """Say whose handler returned an event: its id is derived from the cause, the group and a number."""
    groups = {group.name for group in lineage.groups} | {fate.group for fate in lineage.fates if fate.group}
    for cause in events:
        for effect in cause.effects:
            effect.by = next((name for name in sorted(groups) if _is_of(effect.id, cause, name)), None)


def _is_of(effect: str, cause: Traced, group: str) -> bool:
    is_derived = effect[14:15] == "8"  # the version of such a UUID; most ids need not be tried
    return is_derived and any(
        effect == derived_id(cause.id, cause.source, group, str(index)) for index in range(_MOST_INDEX)
    )
