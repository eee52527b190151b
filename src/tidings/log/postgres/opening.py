"""Opening the log: the tables brought up to date, and the parts that work with them."""

from functools import partial
from typing import NamedTuple

from tidings.clock import Clock, SystemClock
from tidings.errors import ConfigurationError
from tidings.log.bell import Bell
from tidings.log.position import START
from tidings.log.postgres.address import Address
from tidings.log.postgres.committing import Committer
from tidings.log.postgres.connection import Connection, Link
from tidings.log.postgres.edge import Edge
from tidings.log.postgres.ledger import PostgresLedger
from tidings.log.postgres.members import Members
from tidings.log.postgres.schema import has_tables, lives, prepare
from tidings.log.postgres.session import Session
from tidings.log.postgres.threads import Threads
from tidings.log.postgres.watch import Watch
from tidings.log.postgres.writer import Writer

_READERS = 2
_LOCKED = 800  # milliseconds, of each second of patience, that are left for locks: then it is told who has it
_LONGEST_NAME = 63  # bytes, of a channel


class Parts(NamedTuple):
    """What an open log is made of."""

    address: Address
    threads: Threads
    bell: Bell
    ledger: PostgresLedger
    members: Members
    clock: Clock


def open_parts(address: Address, clock: Clock, patience: float, lease: float) -> Parts:
    """Connect, and bring the schema up to date; blocks.

    Raises:
        LogError, ConfigurationError: see `PostgresLog.open`.
    """
    bell, members = Bell(), Members(address.schema, lease)
    link = partial(Link, address, "tidings", patience)
    first = link(prepare)
    try:
        known = lives(first.connection())
    finally:
        first.close()
    watch = Watch(link(members.welcome_watch), bell, f"tidings:{address.schema}"[:_LONGEST_NAME])
    edge = Edge(known, watch.hasten)

    def welcome(connection: Connection) -> None:
        """A server that has come back may be another one, or an older state of it."""
        edge.renew(connection)
        connection.execute("SELECT set_config('lock_timeout', ?, false)", (f"{patience * _LOCKED:.0f}",))

    def committed(session: Session) -> None:
        if any(session.counters):
            bell.news(START, session.counters)
        edge.note(session.last)
        if session.last or any(session.counters) or session.is_news:
            watch.ring()

    def moment() -> int | None:
        return moment_of(clock)

    def committer() -> Committer:
        return Committer(link(welcome), lambda: edge.life, moment, committed, address.place)

    readers = [link(welcome) for _ in range(_READERS)]
    writer = Writer(committer, address.schema, address.place)
    threads = Threads(readers, writer, watch, edge, address)
    watch.start(edge)
    return Parts(address, threads, bell, PostgresLedger(threads, members, edge, clock), members, clock)


def look_at_parts(address: Address, clock: Clock, patience: float, lease: float) -> Parts:
    """The same for reading only; blocks.

    Raises:
        ConfigurationError: there is no log.
    """
    link = Link(address.for_reading(), "tidings", patience, lambda connection: None)
    try:
        is_there = link.ask(has_tables)
    finally:
        link.close()
    if not is_there:
        raise ConfigurationError(f"there is no log at {address.place}: check the database, and schema= in the URL")
    return open_parts(address.for_reading(), clock, patience, lease)


def moment_of(clock: Clock) -> int | None:
    """The log's time by a clock of the program's own; None: the server's is asked, which all machines share."""
    return None if isinstance(clock, SystemClock) else int(clock.now() * 1e6)
