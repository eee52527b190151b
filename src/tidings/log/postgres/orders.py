"""Where an event lies in the log's order: by the transaction that recorded it, and then by its place in that.

An *order* is one number made of both: `shift + (transaction << 20) + place`. Postgres gives transactions numbers that
rise, and says of a snapshot which is the oldest that has not ended: the *horizon*. Whatever lies below it is decided
for good, so a reader that goes no further skips nothing, however long a writer takes between its insert and its commit.
The *shift* belongs to one life of the log: another server's transactions begin low again, and must come after all that
is recorded.
"""

import msgspec

from tidings.log.position import Epoch

BITS = 20
SPACE = 1 << BITS  # events of one transaction

# The first order that this transaction can give now; its own rows are visible to it, and those undone are not.
FIRST = f"""
SELECT greatest(low, coalesce((SELECT max(position) + 1 FROM tidings_events
  WHERE position >= low AND position < low + {SPACE}), 0)) AS first, low + {SPACE} AS ending
FROM (SELECT ?::bigint + (pg_current_xact_id()::text::bigint << {BITS}) AS low) AS own"""

# All orders below it are decided: seen, or never to come.
HORIZON = f"?::bigint + (pg_snapshot_xmin(pg_current_snapshot())::text::bigint << {BITS})"

# In one statement, so that both are of one snapshot: the newest order that is safe, and the newest that is committed.
EDGE = f"""
SELECT (SELECT max(position) FROM tidings_events WHERE position < {HORIZON}),
  (SELECT max(position) FROM tidings_events)"""

# The same, with how often members, lanes or an operator's wishes have changed, and when the next timer is due.
AROUND = f"""{EDGE},
  (SELECT value FROM tidings_meta WHERE name = 'control'), (SELECT value FROM tidings_meta WHERE name = 'timers')"""

# The same, and everybody else is woken: one question, as it is asked after each commit.
RING = f"{AROUND}, pg_notify(?, '')"

# The log's time: a clock of the program's own, else the server's, and never before that of the newest event.
MOMENT = """
greatest(coalesce(?::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
  (SELECT recorded_at FROM tidings_events ORDER BY position DESC LIMIT 1))"""


class Life(msgspec.Struct, frozen=True):
    """One life of the log on one server."""

    epoch: Epoch
    shift: int
    server: str  # which cluster, and which of its timelines


def order_from(shift: int, transaction: int) -> int:
    """The first order of a transaction."""
    return shift + (transaction << BITS)


def shift_after(tip: int, transaction: int) -> int:
    """The shift by which that transaction, and all that follow, come after `tip`."""
    return (((tip >> BITS) + 1) << BITS) - (transaction << BITS)
