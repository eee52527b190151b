"""The reader's questions: slices of the log, of a stream, and places by time or id."""

import bisect
import itertools
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from tidings.errors import LogDamaged
from tidings.log.group import LANES
from tidings.log.memory.state import State
from tidings.log.record import Record, damaged
from tidings.log.slices import Slice, Where

_FEW = 10  # records of a prefix: more than one is a question back


def scan(state: State, after: int, where: Where, limit: int) -> Slice:
    """One look past the order `after`.

    Raises:
        LogDamaged: a record's data is not what was written.
    """
    found: list[Record] = []
    for index in range(state.index_after(after), len(state.records)):
        if len(found) == limit:
            break
        if _is_wanted(state, state.records[index], where):
            found.append(state.records[index])
    upto = found[-1].order if found and len(found) == limit else max(state.tip, after)
    return _slice(state, found, after, upto, lean=where.lean)


def stream(state: State, name: str, after: int, upto: int | None, *, backwards: bool, batch: int) -> Iterator[Slice]:
    """One stream's records by version, a slice at a time, as they are at the first."""
    last = state.versions.get(name, 0) if upto is None else upto
    records = [record for record in state.streams.get(name, []) if after < (record.stream_version or 0) <= last]
    if backwards:
        records.reverse()
    for start in range(0, len(records), batch):
        page = records[start : start + batch]
        found = _slice(state, page, page[0].order, page[-1].order)
        yield replace(found, at_head=start + batch >= len(records))


def with_id(state: State, event_id: str, *, prefix: bool = False) -> Slice:
    """The records with this id, of whatever source; with `prefix` the first few whose id begins so."""
    if prefix:
        begin = sorted((known, order) for (known, _), order in state.by_id.items() if known.startswith(event_id))
        orders = [order for _, order in begin[:_FEW]]
    else:
        orders = sorted(order for (known, _), order in state.by_id.items() if known == event_id)
    return _slice(state, [record for order in orders if (record := state.record(order)) is not None], 0, 0)


def related(state: State, after: int, mentions: Sequence[bytes], limit: int) -> Slice:
    """One look past the order `after` for records whose envelope holds one of these texts.

    Raises:
        LogDamaged: a record's data is not what was written.
    """
    later = itertools.islice(state.records, state.index_after(after), None)
    speaking = (one for one in later if any(each in (one.envelope or b"") for each in mentions))
    found = list(itertools.islice(speaking, limit))
    return _slice(state, found, after, found[-1].order if len(found) == limit else state.tip)


def order_at(state: State, microseconds: int) -> int:
    """The last order recorded before a moment, of those that are kept."""
    index = bisect.bisect_left(state.records, microseconds, key=lambda record: record.recorded_at)
    return state.records[index - 1].order if index else 0


def _is_wanted(state: State, record: Record, where: Where) -> bool:
    return (
        (where.types is None or record.type in where.types)
        and (where.lanes is None or record.slot % LANES in where.lanes)
        and record.order not in where.passing
        and (not where.public or record.order in state.public)
    )


def _slice(state: State, records: list[Record], after: int, upto: int, *, lean: bool = False) -> Slice:
    position = state.epoch.position
    broken = damaged(records)
    if broken:
        raise LogDamaged("the data's checksum does not fit", [position(record.order) for record in broken])
    if lean:
        records = [Record(one.order, one.type, one.version, one.data, one.checksum) for one in records]
    return Slice(records, position(after), position(upto), upto == state.tip, state.epoch)
