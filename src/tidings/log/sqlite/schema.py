"""The tables, a comment a column, and the migrations that bring an older file up to them.

All names begin with `tidings_`, because the file is the application's: its own tables stand beside these, so that a
handler's writes and its cursor commit together.
"""

import sqlite3

from tidings.errors import NewerSchema
from tidings.log.bell import Counters
from tidings.log.position import Epoch

_TABLES = """
CREATE TABLE tidings_meta(
  name TEXT PRIMARY KEY,           -- 'schema': the last migration's number; 'control', 'timers': as in the head record
  value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE tidings_epochs(       -- the lives of this log, see position.py
  counter INTEGER PRIMARY KEY,
  mark TEXT NOT NULL,
  begins_after INTEGER NOT NULL) STRICT;

CREATE TABLE tidings_events(
  position INTEGER PRIMARY KEY,    -- one past the newest, which is therefore never trimmed
  id TEXT NOT NULL,
  source TEXT NOT NULL,
  type TEXT NOT NULL,
  version INTEGER NOT NULL,        -- of the contract
  slot INTEGER NOT NULL,           -- hash of the delivery key, 0 to 255
  key TEXT,
  stream TEXT,
  stream_version INTEGER,          -- dense within the stream, from 1
  recorded_at INTEGER NOT NULL,    -- microseconds since 1970, never falling
  public INTEGER NOT NULL,         -- 1: outbound relays it
  envelope BLOB NOT NULL,          -- the rest of the CloudEvent, a JSON array
  data BLOB NOT NULL,              -- as it came: JSON, or bytes if the content type says so
  checksum INTEGER NOT NULL        -- CRC-32 of data; above it 31 bits of type, version and envelope
) STRICT;
CREATE UNIQUE INDEX tidings_events_id ON tidings_events(id, source);
CREATE UNIQUE INDEX tidings_events_stream ON tidings_events(stream, stream_version) WHERE stream IS NOT NULL;

CREATE TABLE tidings_streams(
  stream TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  closed INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;

CREATE TABLE tidings_groups(
  name TEXT PRIMARY KEY,
  patterns TEXT NOT NULL,          -- JSON array
  state TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'paused')),
  fence INTEGER NOT NULL DEFAULT 0, -- the last one given out
  created_at REAL NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE tidings_members(      -- who wants lanes of which group; a row outlives its process until it is buried
  group_name TEXT NOT NULL,
  member TEXT NOT NULL,
  PRIMARY KEY (group_name, member)) STRICT, WITHOUT ROWID;

CREATE TABLE tidings_lanes(
  group_name TEXT NOT NULL,
  lane INTEGER NOT NULL,           -- slot modulo 16
  position INTEGER NOT NULL,       -- all up to here is answered
  owner TEXT,                      -- a member, or nobody
  fence INTEGER NOT NULL DEFAULT 0, -- the owner's; a settlement with another one commits nothing
  PRIMARY KEY (group_name, lane)) STRICT, WITHOUT ROWID;

CREATE TABLE tidings_parked(
  group_name TEXT NOT NULL,
  position INTEGER NOT NULL,       -- of the event
  slot INTEGER NOT NULL,
  key TEXT,                        -- NULL: it asks for no order, and holds nobody up
  event_id TEXT NOT NULL,
  type TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('retry', 'blocked', 'dead')),
  attempts INTEGER NOT NULL,
  due REAL NOT NULL,               -- seconds since 1970, for 'retry'
  reason TEXT NOT NULL,            -- the exception in one line
  detail TEXT NOT NULL,            -- its traceback
  parked_at REAL NOT NULL,
  blocks INTEGER NOT NULL,         -- 0: later events of the key do not wait for it
  PRIMARY KEY (group_name, position)) STRICT, WITHOUT ROWID;
CREATE INDEX tidings_parked_key ON tidings_parked(group_name, key, position);
"""

_GROUPS_AS_THINGS = """
-- when somebody last ran the group, in seconds since 1970; it counts from the day of this migration
ALTER TABLE tidings_groups ADD COLUMN last_seen REAL NOT NULL DEFAULT 0;
-- so many seconds later it is an orphan
ALTER TABLE tidings_groups ADD COLUMN orphan_after REAL NOT NULL DEFAULT 604800;
-- the reason of a pause
ALTER TABLE tidings_groups ADD COLUMN why TEXT NOT NULL DEFAULT '';
-- what those who watch groups have told of this one
ALTER TABLE tidings_groups ADD COLUMN note TEXT NOT NULL DEFAULT '';
UPDATE tidings_groups SET last_seen = CAST(strftime('%s', 'now') AS REAL);
-- the member's last word about its work, as JSON; gone with the member
ALTER TABLE tidings_members ADD COLUMN report TEXT NOT NULL DEFAULT '';
-- when the event came into its state, in the log's own time
ALTER TABLE tidings_parked ADD COLUMN changed_at REAL NOT NULL DEFAULT 0;
UPDATE tidings_parked SET changed_at = parked_at;
"""

_TIMERS = """
CREATE TABLE tidings_timers(       -- events to be recorded later; the columns of an event are as in tidings_events
  number INTEGER PRIMARY KEY,      -- the order of scheduling among those that wait
  due INTEGER NOT NULL,            -- microseconds since 1970
  id TEXT NOT NULL,
  source TEXT NOT NULL,
  type TEXT NOT NULL,
  version INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  key TEXT,
  public INTEGER NOT NULL,
  envelope BLOB NOT NULL,
  data BLOB NOT NULL,
  checksum INTEGER NOT NULL,
  series TEXT,                     -- of a recurring one: the group that hears it
  spec TEXT NOT NULL               -- what the series was made by, as "every 1:30:00" or "cron 0 3 * * * UTC"
) STRICT;
CREATE INDEX tidings_timers_due ON tidings_timers(due);
CREATE UNIQUE INDEX tidings_timers_id ON tidings_timers(id, source);
CREATE UNIQUE INDEX tidings_timers_series ON tidings_timers(series) WHERE series IS NOT NULL;
"""

_LINEAGE = """
CREATE TABLE tidings_lineage(      -- what became of events, see lineage.py
  number INTEGER PRIMARY KEY,      -- rises; trimmed from the lowest
  group_name TEXT NOT NULL,        -- '' where the log itself did it
  what TEXT NOT NULL,
  after INTEGER NOT NULL,          -- it speaks of the events past this position,
  upto INTEGER NOT NULL,           -- up to this one,
  lanes INTEGER NOT NULL,          -- in these lanes, a bit each
  began INTEGER NOT NULL,          -- microseconds since 1970, log time
  ended INTEGER NOT NULL,
  member TEXT NOT NULL,
  attempts INTEGER NOT NULL,       -- calls in all; 0 for a passage, whose events took one each
  reason TEXT NOT NULL
) STRICT;
"""

_CHANGES = """
-- the number of the change that brought the event into its state; the newest is in tidings_meta, as 'change'
ALTER TABLE tidings_parked ADD COLUMN change INTEGER NOT NULL DEFAULT 1;
INSERT INTO tidings_meta VALUES ('change', '1');
"""

_OWN_NUMBERS = """
-- sqlite_sequence is asked no more; a table that was made with AUTOINCREMENT keeps it, for a page more a commit
"""

# Number n brings a file from schema n to n + 1; what a released one has made of a file goes on being good.
MIGRATIONS = (_TABLES, _GROUPS_AS_THINGS, _TIMERS, _LINEAGE, _CHANGES, _OWN_NUMBERS)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file up to this schema, a transaction a migration; call it under the writer's lock.

    Raises:
        NewerSchema: a newer tidings wrote this file.
    """
    found = schema_of(connection)
    if found > len(MIGRATIONS):
        raise NewerSchema(found, len(MIGRATIONS), path)
    for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute("INSERT OR REPLACE INTO tidings_meta VALUES ('schema', ?)", (str(number),))
            if number == 1:
                add_epoch(connection, Epoch.first())
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def epochs(connection: sqlite3.Connection) -> list[Epoch]:
    """The lives of this log, oldest first."""
    rows = connection.execute("SELECT counter, mark, begins_after FROM tidings_epochs ORDER BY counter")
    return [Epoch(*row) for row in rows]


def add_epoch(connection: sqlite3.Connection, epoch: Epoch) -> None:
    """Begin a new life."""
    connection.execute("INSERT INTO tidings_epochs VALUES (?, ?, ?)", (epoch.counter, epoch.mark, epoch.begins_after))


def tip_of(connection: sqlite3.Connection) -> int:
    """The highest order given out, 0 when none was: that of the newest event, which is never trimmed."""
    row = connection.execute("SELECT max(position) FROM tidings_events").fetchone()
    return row[0] or 0


def counters_of(connection: sqlite3.Connection) -> Counters:
    """How often members, lanes or an operator's wishes have changed, and when the next timer is due."""
    rows = connection.execute("SELECT name, value FROM tidings_meta WHERE name IN ('control', 'timers')")
    return Counters(**{name: int(value) for name, value in rows})


def raise_counters(connection: sqlite3.Connection, heard: Counters, *, control: bool, timers: bool) -> Counters:
    """Count one more change, so that it is past what was `heard` too: the head record is of an older life at times."""
    latest = counters_of(connection).latest(heard)
    raised = Counters(latest.control + control, latest.timers + timers)
    for name, value in zip(Counters._fields, raised, strict=True):
        connection.execute("INSERT OR REPLACE INTO tidings_meta VALUES (?, ?)", (name, str(value)))
    return raised


def schema_of(connection: sqlite3.Connection) -> int:
    """The number of the last migration; 0 when there is no table of a log."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tidings_meta'").fetchone()
    if not known:
        return 0
    row = connection.execute("SELECT value FROM tidings_meta WHERE name = 'schema'").fetchone()
    return int(row[0]) if row else 0


def _statements(script: str) -> list[str]:
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
