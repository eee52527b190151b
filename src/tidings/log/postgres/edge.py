"""The end of the log, as readers and positions need it: how far it is safe to read, and what is committed."""

import threading
from collections.abc import Callable

from tidings.errors import LogTruncated
from tidings.log.position import Position, order_of
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.orders import EDGE, Life
from tidings.log.postgres.schema import lives, prepare, tip_of


class Edge:
    """What this process knows of the end. It only ever moves on, so what was once safe to read stays so."""

    def __init__(self, lives: list[Life], on_held: Callable[[], None]) -> None:
        self.lives = lives
        self.head = 0  # all that is up to here is decided
        self._tip = 0
        self._on_held = on_held  # told when something is committed that nobody may read yet
        self._lock = threading.Lock()

    @property
    def life(self) -> Life:
        """The life of the log that is now."""
        return self.lives[-1]

    def look(self, connection: Connection) -> int:
        """The newest order that is safe to read, now."""
        return self.learn(*connection.execute(EDGE, (self.life.shift,)).fetchone())

    def learn(self, head: int | None, tip: int | None) -> int:
        """What `EDGE` gave; the newest order that is safe to read, now."""
        with self._lock:
            self.head = max(self.head, head or 0)
            self._tip = max(self._tip, tip or 0)
            is_held = self._tip > self.head
        if is_held:
            self._on_held()
        return self.head

    def note(self, order: int) -> None:
        """This process has committed an event there: a log that ends before it is not what it was."""
        with self._lock:
            self._tip = max(self._tip, order)

    @property
    def is_held(self) -> bool:
        """Is something committed that a transaction which began earlier, and goes on, keeps from readers?"""
        return self._tip > self.head

    def tip(self, connection: Connection) -> int:
        """The newest order that is committed."""
        self.look(connection)
        return self._tip

    def renew(self, connection: Connection) -> None:
        """Look whether the log has begun another life: a server that comes back may be another, or an earlier one."""
        prepare(connection, self._tip)
        known = lives(connection)
        with self._lock:
            if known[-1].epoch != self.life.epoch:
                self.head = self._tip = 0  # what was known of the end was true of another life
            self.lives = known

    def order(self, connection: Connection, position: Position) -> int:
        """The order a position stands for.

        Raises:
            LogTruncated: it is not in this log.
        """
        try:
            return order_of(position, [life.epoch for life in self.lives], self._tip)
        except LogTruncated:
            self._tip, self.lives = max(self._tip, tip_of(connection)), lives(connection)
            return order_of(position, [life.epoch for life in self.lives], self._tip)
