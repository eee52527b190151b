"""The tables, a comment a column, and the migrations that bring an older schema up to them.

They stand in a schema of their own, beside the application's tables in one database, so that a handler's writes and
its cursor commit together. Text is compared by its bytes, as positions, ids and names are on every other log.
"""

from tidings.errors import ConfigurationError, NewerSchema
from tidings.log.position import Epoch
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.orders import Life, order_from, shift_after

_TABLES = """
CREATE TABLE tidings_meta(
  name text PRIMARY KEY,            -- 'schema': the last migration's number; the others are counters
  value text NOT NULL);

CREATE TABLE tidings_epochs(        -- the lives of this log, see position.py
  counter integer PRIMARY KEY,
  mark text NOT NULL,
  begins_after bigint NOT NULL,
  shift bigint NOT NULL,            -- what makes transactions orders, see orders.py
  server text NOT NULL);            -- the cluster and its timeline

CREATE TABLE tidings_events(
  position bigint PRIMARY KEY,      -- made of the transaction, see orders.py
  id text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  version integer NOT NULL,         -- of the contract
  slot smallint NOT NULL,           -- hash of the delivery key, 0 to 255
  key text COLLATE "C",
  stream text COLLATE "C",
  stream_version bigint,            -- dense within the stream, from 1
  recorded_at bigint NOT NULL,      -- microseconds since 1970
  public boolean NOT NULL,          -- outbound relays it
  envelope bytea NOT NULL,          -- the rest of the CloudEvent, a JSON array
  data bytea NOT NULL,              -- as it came: JSON, or bytes if the content type says so
  checksum bigint NOT NULL);        -- CRC-32 of data; above it 31 bits of type, version and envelope
CREATE UNIQUE INDEX events_id ON tidings_events(id, source);
CREATE UNIQUE INDEX events_stream ON tidings_events(stream, stream_version) WHERE stream IS NOT NULL;

CREATE TABLE tidings_streams(
  stream text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL,
  closed boolean NOT NULL DEFAULT false) WITH (fillfactor = 70);

CREATE TABLE tidings_groups(
  name text COLLATE "C" PRIMARY KEY,
  patterns text NOT NULL,           -- JSON array
  state text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'paused')),
  fence bigint NOT NULL DEFAULT 0,  -- the last one given out
  created_at double precision NOT NULL,
  last_seen double precision NOT NULL DEFAULT 0,            -- when somebody last ran it, in seconds since 1970
  orphan_after double precision NOT NULL DEFAULT 604800,    -- so many seconds later it is an orphan
  why text NOT NULL DEFAULT '',     -- the reason of a pause
  note text NOT NULL DEFAULT '');   -- what those who watch groups have told of this one

CREATE TABLE tidings_members(       -- who wants lanes of which group; a row outlives its process until it is buried
  group_name text COLLATE "C" NOT NULL,
  member text COLLATE "C" NOT NULL,
  report text NOT NULL DEFAULT '',  -- the member's last word about its work, as JSON
  PRIMARY KEY (group_name, member));

CREATE TABLE tidings_alive(         -- signs of life of the processes that are members
  member text COLLATE "C" PRIMARY KEY,
  lock integer NOT NULL,            -- the advisory lock that its session holds
  seen_at timestamptz NOT NULL) WITH (fillfactor = 50);     -- by the server's clock

CREATE TABLE tidings_lanes(
  group_name text COLLATE "C" NOT NULL,
  lane integer NOT NULL,            -- slot modulo 16
  position bigint NOT NULL,         -- all up to here is answered
  owner text COLLATE "C",           -- a member, or nobody
  fence bigint NOT NULL DEFAULT 0,  -- the owner's; a settlement with another one commits nothing
  PRIMARY KEY (group_name, lane)) WITH (fillfactor = 25);   -- rewritten with every settlement, within their page

CREATE TABLE tidings_parked(
  group_name text COLLATE "C" NOT NULL,
  position bigint NOT NULL,         -- of the event
  slot smallint NOT NULL,
  key text COLLATE "C",             -- NULL: it asks for no order, and holds nobody up
  event_id text NOT NULL,
  type text COLLATE "C" NOT NULL,
  state text NOT NULL CHECK (state IN ('retry', 'blocked', 'dead')),
  attempts integer NOT NULL,
  due double precision NOT NULL,    -- seconds since 1970, for 'retry'
  reason text NOT NULL,             -- the exception in one line
  detail text NOT NULL,             -- its traceback
  parked_at double precision NOT NULL,
  blocks boolean NOT NULL,          -- false: later events of the key do not wait for it
  changed_at double precision NOT NULL,  -- when the event came into its state, in the log's own time
  change bigint NOT NULL,           -- the number of the change that brought it there; the newest is in tidings_meta
  PRIMARY KEY (group_name, position));
CREATE INDEX parked_key ON tidings_parked(group_name, key, position);

CREATE TABLE tidings_timers(        -- events to be recorded later; the columns of an event are as in tidings_events
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- the order of scheduling among those that wait
  due bigint NOT NULL,              -- microseconds since 1970
  id text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  slot smallint NOT NULL,
  key text COLLATE "C",
  public boolean NOT NULL,
  envelope bytea NOT NULL,
  data bytea NOT NULL,
  checksum bigint NOT NULL,
  series text COLLATE "C",          -- of a recurring one: the group that hears it
  spec text NOT NULL);              -- what the series was made by
CREATE INDEX timers_due ON tidings_timers(due);
CREATE UNIQUE INDEX timers_id ON tidings_timers(id, source);
CREATE UNIQUE INDEX timers_series ON tidings_timers(series) WHERE series IS NOT NULL;

CREATE TABLE tidings_lineage(       -- what became of events, see relational/lineage.py
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- rises; trimmed from the lowest
  group_name text COLLATE "C" NOT NULL,  -- '' where the log itself did it
  what text NOT NULL,
  after bigint NOT NULL,            -- it speaks of the events past this position,
  upto bigint NOT NULL,             -- up to this one,
  lanes integer NOT NULL,           -- in these lanes, a bit each
  began bigint NOT NULL,            -- microseconds since 1970, log time
  ended bigint NOT NULL,
  member text NOT NULL,
  attempts integer NOT NULL,        -- calls in all; 0 for a passage, whose events took one each
  reason text NOT NULL);
"""

# Number n brings a schema from n to n + 1; released ones never change.
MIGRATIONS = (_TABLES,)
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('tidings migration'), hashtext(?))"
_IS_THERE = "SELECT to_regclass(?)"
_GET_SCHEMA = "SELECT value FROM tidings_meta WHERE name = 'schema'"
_SET_SCHEMA = """
INSERT INTO tidings_meta VALUES ('schema', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
_SERVER = """
SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/' || d.oid,
  pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
FROM pg_control_system(), pg_database d WHERE d.datname = current_database()"""


def prepare(connection: Connection, seen: int = 0) -> None:
    """Bring the schema up to this program's, and begin a new life of the log when it has come to another server.

    So it does when the log ends before an order that was `seen` in it: somebody has put back an older state.
    It is one transaction under a lock of its own, so that of several processes one does it and the others wait.

    Raises:
        NewerSchema: a newer tidings made these tables.
        ConfigurationError: the schema is there, and is somebody else's; or may not be made.
    """
    with connection.transaction():
        connection.execute(_LOCK, (connection.schema,))
        _migrate(connection)
        _continue(connection, seen)


def has_tables(connection: Connection) -> bool:
    """Is there a log?"""
    found: bool = connection.execute(_IS_THERE, (f'"{connection.schema}".meta',)).fetchone()[0] is not None
    return found


def lives(connection: Connection) -> list[Life]:
    """The lives of this log, oldest first."""
    rows = connection.execute("SELECT counter, mark, begins_after, shift, server FROM tidings_epochs ORDER BY counter")
    return [Life(Epoch(*row[:3]), row[3], row[4]) for row in rows]


def tip_of(connection: Connection) -> int:
    """The highest order that is committed, 0 when none is; the newest event is never trimmed."""
    tip: int = connection.execute("SELECT coalesce(max(position), 0) FROM tidings_events").fetchone()[0]
    return tip


def _migrate(connection: Connection) -> None:
    schema = connection.schema
    if not has_tables(connection):
        if connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = ?", (schema,)).fetchone()[0]:
            raise ConfigurationError(
                f"the schema {schema!r} has tables of somebody else: name another one, as in postgresql://...?schema=mine"
            )
        if connection.execute("SELECT to_regnamespace(?)", (f'"{schema}"',)).fetchone()[0] is None:
            connection.execute(f'CREATE SCHEMA "{schema}"')
        found = 0
    else:
        found = int(connection.execute(_GET_SCHEMA).fetchone()[0])
    if found > len(MIGRATIONS):
        raise NewerSchema(found, len(MIGRATIONS), connection.place)
    for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
        connection.script(script)
        connection.execute(_SET_SCHEMA, (str(number),))


def _continue(connection: Connection, seen: int) -> None:
    """The life that is now: another one begins on another server, whose transactions have other numbers.

    So it is where a dump was restored, and where another timeline began: by a restore to a point in time, after which
    the same numbers are given again, or by a standby that took over, which may not have had the last events.
    """
    known, tip = lives(connection), tip_of(connection)
    server, oldest, newest = connection.execute(_SERVER).fetchone()  # last: what is in the tip has begun before this
    if known and known[-1].server == server and seen <= tip < order_from(known[-1].shift, newest):
        return
    epoch = known[-1].epoch.following(tip) if known else Epoch.first()
    row = (epoch.counter, epoch.mark, epoch.begins_after, shift_after(tip, oldest), server)
    connection.execute("INSERT INTO tidings_epochs VALUES (?, ?, ?, ?, ?)", row)
