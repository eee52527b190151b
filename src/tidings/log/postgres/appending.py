"""The statements of an append, as pure functions from events to SQL: any connection can run them, sync or async."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tidings.log.postgres.columns import chunks, flags, numbers, texts
from tidings.log.postgres.orders import FIRST, MOMENT
from tidings.log.record import Draft

Statement = tuple[str, Sequence[Any]]

_RECORDED = """
SELECT u.n, e.position, e.stream_version, e.type, e.data, e.key
FROM unnest(?::text[], ?::text[]) WITH ORDINALITY AS u(id, source, n)
JOIN tidings_events e ON e.id = u.id AND e.source = u.source"""
_INSERT = f"""
WITH place AS MATERIALIZED (SELECT own.first, own.ending, {MOMENT} AS moment FROM ({FIRST}) AS own),
added AS (
  INSERT INTO tidings_events
  SELECT place.first + u.n - 1, u.id, u.source, u.type, u.version, u.slot, u.key, u.stream, u.stream_version,
    place.moment, u.public, u.envelope, u.data, u.checksum
  FROM place, unnest(?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::bigint[],
    ?::boolean[], ?::bytea[], ?::bytea[], ?::bigint[]) WITH ORDINALITY
    AS u(id, source, type, version, slot, key, stream, stream_version, public, envelope, data, checksum, n))
SELECT first, ending, moment FROM place"""


class Row(msgspec.Struct, gc=False):
    """An event about to be inserted, with its place in a stream."""

    draft: Draft
    stream: str | None = None
    version: int | None = None


def looking(drafts: Sequence[Draft]) -> Statement:
    """What is recorded under the ids of these."""
    return _RECORDED, (texts([one.id for one in drafts]), texts([one.source for one in drafts]))


def found(drafts: Sequence[Draft], rows: Sequence[Any]) -> list[Any]:
    """For each draft what `looking` has found: (order, stream version, type, data, key), or None."""
    known: list[Any] = [None] * len(drafts)
    for row in rows:
        known[row[0] - 1] = row[1:]
    return known


def inserting(rows: Sequence[Row], shift: int, moment: int | None) -> Statement:
    """Insert these; gives the first one's order, the order that none may reach, and the time they got."""
    drafts = [row.draft for row in rows]
    return _INSERT, (
        moment,
        shift,
        texts([one.id for one in drafts]),
        texts([one.source for one in drafts]),
        texts([one.type for one in drafts]),
        numbers([one.version for one in drafts]),
        numbers([one.slot for one in drafts]),
        texts([one.key for one in drafts]),
        texts([row.stream for row in rows]),
        numbers([row.version for row in rows]),
        flags([one.public for one in drafts]),
        chunks([one.envelope for one in drafts]),
        chunks([one.data for one in drafts]),
        numbers([one.checksum for one in drafts]),
    )
