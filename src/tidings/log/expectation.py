"""What an append expects, and what it gets when its events are recorded already: the same answer from every log."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tidings.errors import IdReused, PartialDuplicate, VersionConflict
from tidings.log.record import Draft
from tidings.log.slices import ANY, EXISTS, NONE, Expect


class Before(NamedTuple):
    """Where a repeated append was recorded the first time."""

    first: int
    last: int
    stream_version: int | None


def holds(expect: Expect, version: int) -> bool:
    """Is a stream at `version` as expected?"""
    if expect is ANY:
        return True
    if expect is NONE:
        return version == 0
    if expect is EXISTS:
        return version > 0
    return version == expect


def conflict(stream: str, expect: Expect, version: int) -> VersionConflict:
    """The error for a stream that is not as expected."""
    return VersionConflict(stream, expect if isinstance(expect, int) else expect.name, version)


def recorded_before(drafts: Sequence[Draft], found: Sequence[Sequence[Any] | None]) -> Before | None:
    """Where these drafts are recorded, or None when none of them is.

    `found` holds for each draft what is recorded under its id and source: (order, stream version, type, data, key).

    Raises:
        IdReused: something else is recorded under an id, or the drafts themselves use one twice.
        PartialDuplicate: some are recorded and some are not.
    """
    for draft, row in zip(drafts, found, strict=True):
        if row is not None and (row[2], row[3], row[4]) != (draft.type, draft.data, draft.key):
            raise IdReused(draft.id, draft.source)
    rows = sorted((row[0], row[1]) for row in found if row is not None)
    if not rows:
        _refuse_repeats(drafts)
        return None
    if len(rows) < len(drafts):
        pairs = list(zip(drafts, found, strict=True))
        raise PartialDuplicate(
            [draft.id for draft, row in pairs if row is not None], [draft.id for draft, row in pairs if row is None]
        )
    return Before(rows[0][0], rows[-1][0], rows[-1][1])


def distinct(drafts: Sequence[Draft]) -> list[Draft]:
    """The first draft of each id and source, in order."""
    first: dict[tuple[str, str], Draft] = {}
    for draft in drafts:
        first.setdefault((draft.id, draft.source), draft)
    return list(first.values())


def _refuse_repeats(drafts: Sequence[Draft]) -> None:
    seen = set()
    for draft in drafts:
        if (draft.id, draft.source) in seen:
            raise IdReused(draft.id, draft.source)
        seen.add((draft.id, draft.source))
