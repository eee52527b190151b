"""One connection to the server, in the words of this log; and a `Link`, which finds another when it is lost."""

import contextlib
import random
import select
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tidings.log.postgres.address import Address
from tidings.log.postgres.columns import register
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.failures import is_lost, translated
from tidings.log.postgres.language import spoken
from tidings.log.postgres.patient import PatientConnection

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0  # seconds between attempts to connect
Welcome = Callable[["Connection"], None]


class Connection:
    """Runs the SQL of relational logs on a connection of psycopg's."""

    __slots__ = ("place", "raw", "schema")

    raw: Any  # a psycopg.Connection: the log's own, or one of the user's

    def __init__(self, raw: Any, schema: str, place: str) -> None:
        self.raw = raw
        self.schema = schema
        self.place = place

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        """Run one statement and give its cursor."""
        return self.raw.execute(spoken(sql, self.schema), parameters, binary=True)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Any:
        """Run one statement with many sets of parameters, in one go."""
        cursor = self.raw.cursor()
        if parameters:
            cursor.executemany(spoken(sql, self.schema), parameters)
        return cursor

    def script(self, script: str) -> None:
        """Run several statements without parameters."""
        self.raw.execute(spoken(script, self.schema).replace("%%", "%"))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A block that commits at its end, and rolls back when it raises."""
        with self.raw.transaction():
            yield

    @property
    def is_open(self) -> bool:
        """Can it be used, as far as is known?"""
        return not self.raw.closed

    def is_alive(self) -> bool:
        """Can it be used? A server that has gone has left word in the socket, which is cheap to look at."""
        if self.raw.closed:
            return False
        poll = select.poll()
        poll.register(self.raw.fileno(), select.POLLIN)
        if not poll.poll(0):
            return True
        try:
            self.raw.pgconn.consume_input()  # a notice, or the end
        except psycopg.Error:
            return False
        return self.raw.pgconn.status == psycopg.pq.ConnStatus.OK and not poll.poll(0)

    def close(self) -> None:
        """Close it, whatever state it is in."""
        with contextlib.suppress(psycopg.Error):
            self.raw.close()


class Link:
    """A connection of one thread's own. When it is lost, another is made, with patience."""

    def __init__(self, address: Address, name: str, patience: float, welcome: Welcome) -> None:
        self._address = address
        self._name = name
        self.patience = patience
        self._welcome = welcome  # what is to be done on each new connection
        self._connection: Connection | None = None
        self._is_closed = False

    @property
    def place(self) -> str:
        """Where the log is, as people are shown it."""
        return self._address.place

    @property
    def schema(self) -> str:
        """The schema that the log's tables stand in."""
        return self._address.schema

    def connection(self) -> Connection:
        """A connection that works, as far as can be told; blocks until there is one.

        Raises:
            LogUnreachable: there was none within `patience` seconds.
        """
        if self._connection is not None and self._connection.is_alive():
            return self._connection
        self.drop()
        until, wait = time.monotonic() + self.patience, _FIRST_WAIT
        while True:
            try:
                self._connection = self.connect()
            except psycopg.Error as error:
                left = until - time.monotonic()
                known = translated(error, self._address.place)
                if left <= 0 or self._is_closed or not is_lost(error):
                    raise known from error
                time.sleep(min(wait * random.uniform(0.5, 1.0), left))
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                return self._connection

    def connect(self) -> Connection:
        """One attempt."""
        raw = PatientConnection.connect(
            **self._address.parameters, autocommit=True, application_name=self._name, prepare_threshold=3
        )
        raw.answer_within = self.patience
        connection = Connection(raw, self._address.schema, self._address.place)
        try:
            register(raw)
            self._welcome(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def ask(self, question: Callable[[Connection], Any]) -> Any:
        """Ask what changes nothing; once more on another connection when the first is lost on the way.

        Raises:
            LogError: what Postgres reported.
        """
        connection = self.connection()
        try:
            return question(connection)
        except psycopg.Error as error:
            if connection.is_open and not is_lost(error):
                raise translated(error, self._address.place) from error
        self.drop()
        try:
            return question(self.connection())
        except psycopg.Error as error:
            raise translated(error, self._address.place) from error

    def drop(self) -> None:
        """Let go of the connection; the next one is another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Let go for good."""
        self._is_closed = True
        self.drop()
