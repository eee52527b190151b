"""Counting and trimming what a log in memory holds."""

from collections.abc import Mapping

from tidings.log.memory.state import State
from tidings.log.record import Record, envelope_of
from tidings.log.retention import OVERHEAD, Cut, Kind, Survey, Tally, Trimmed
from tidings.log.selection import Candidate, Floors, Reading, Selection


def survey(state: State, after: int, events: int) -> Survey:
    """How much of what the next so many events are."""
    start = state.index_after(after)
    begin = state.records[start].order - 1 if start < len(state.records) else max(state.tip, after)
    records = state.records[start : start + events]
    upto = records[-1].order if records and start + events <= len(state.records) else max(state.tip, after)
    kinds: dict[Kind, Tally] = {}
    for record in records:
        tally = Tally(1, _bytes(record), record.recorded_at)
        kinds.setdefault(Kind(record.type, record.stream is not None), Tally()).add(tally)
    position = state.epoch.position
    return Survey(position(begin), position(upto), upto >= state.tip, kinds, state.trimmed)


def trim(state: State, cuts: Mapping[str, Cut], after: int, limit: int, now: float, *, dry_run: bool) -> Trimmed:
    """Remove what may go; see `Log.trim`."""
    last = min(max((cut.upto for cut in cuts.values()), default=0), state.tip - 1)
    found = [one for one in state.records[state.index_after(after) : state.index_after(last)] if one.type in cuts]
    upto = found[limit - 1].order if len(found) > limit else max(last, after)
    parked = {order: name for name, group in state.groups.items() for order in group.parked}
    selection = Selection(cuts, _floors(state, now), parked, lambda stream: _span(state, stream))
    selection.consider(map(_candidate, found[:limit]))
    if not dry_run:
        _remove(state, set(selection.orders))
    removed = sum(tally.events for tally in selection.removed.values()) if dry_run else 0
    position = state.epoch.position(upto)
    return Trimmed(position, selection.removed, selection.held, state.trimmed + removed)


def _remove(state: State, orders: set[int]) -> None:
    gone = [record for record in state.records if record.order in orders]
    state.records = [record for record in state.records if record.order not in orders]
    state.trimmed += len(gone)
    for record in gone:
        envelope = envelope_of(record, state.epoch.position(record.order))
        del state.by_id[envelope.id, envelope.source], state.keys[record.order]
        state.public.discard(record.order)
    for stream in {record.stream for record in gone if record.stream is not None}:
        state.streams[stream] = [record for record in state.streams[stream] if record.order not in orders]


def _floors(state: State, now: float) -> Floors:
    groups = ((name, group.patterns, group.standing(state.alive, now), group) for name, group in state.groups.items())
    return Floors(Reading(name, patterns, standing, group.slowest) for name, patterns, standing, group in groups)


def _span(state: State, stream: str) -> tuple[int, int]:
    return state.streams[stream][0].stream_version or 0, state.versions[stream]


def _candidate(record: Record) -> Candidate:
    return Candidate(
        record.order, record.type, _bytes(record), record.recorded_at, record.stream, record.stream_version
    )


def _bytes(record: Record) -> int:
    return len(record.data) + len(record.envelope or b"") + OVERHEAD
