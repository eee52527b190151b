"""`Tray`: what lies ready for a member, how far it is, and all that its thread and the event loop both touch.

On the event loop records are fetched, handed over and settled; in the thread partitions come and go, and are committed.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final

from tidings.brokers.kafka.progress import Held, Progress
from tidings.brokers.kafka.received import Received
from tidings.brokers.kafka.records import Fetched
from tidings.errors import TidingsError

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition


_MOST: Final = 2_000_000  # bytes, packed as they came: while there are so many, no further fetch begins


class Tray:
    """What was fetched ahead, how far each partition is, and the commits that were asked for."""

    def __init__(self) -> None:
        self.held = Held()
        self.failed: TidingsError | None = None
        self.beat = monotonic()  # when the thread was last seen at work
        self.heard = monotonic()  # when a server last answered who fetches
        self.ring: Callable[[], None] = lambda: None  # for who receives: there are messages, or room, or a failure
        self.tell: Callable[[], None] = lambda: None  # for who settles: there was a commit, or a failure
        self.stir: Callable[[], None] = lambda: None  # for who fetches: there are other partitions, or there is room
        self.called = threading.Event()  # for the thread: there is something to commit, or an end
        self.asked = self.answered = 0  # commits
        self._buffer: deque[Fetched] = deque()
        self._weight = 0  # bytes in the buffer
        self._lock = threading.Lock()

    def fail(self, error: TidingsError) -> None:
        """Nothing more comes, for this reason."""
        self.failed = self.failed or error
        self.ring()
        self.tell()

    # -- asked on the event loop ---------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Does it take no more?"""
        return self._weight >= _MOST

    def put(self, fetched: Fetched) -> None:
        """What has come of a partition; of one that is not held any more it is left out."""
        with self._lock:
            if fetched.progress.is_ours:
                self._buffer.append(fetched)
                self._weight += fetched.size

    def draw(self, at_most: int) -> list[Received]:
        """What comes next; it is open until it is settled.

        Raises:
            BrokerError: it cannot be read, now and ever after.
        """
        was_full, drawn = self.is_full, list[Received]()
        with self._lock:
            while self._buffer and len(drawn) < at_most:
                fetched = self._buffer[0]
                found = fetched.draw(at_most - len(drawn))
                fetched.progress.hand_over(found)
                drawn += found
                if fetched.failure is not None:  # what lies behind it would be taken for what comes next
                    if not drawn:
                        raise fetched.failure
                    break
                if len(drawn) < at_most:
                    self._buffer.popleft()
                    self._weight -= fetched.size
        if was_full and not self.is_full:
            self.stir()
        return drawn

    def begin_again(self, progress: Progress, offset: int) -> None:
        """A partition is to be read from there on, as what was to come next is not there.

        Where that is before what was read already, it is another partition of the same name, or has lost its end: what
        is known of the one it was says nothing about it.
        """
        with self._lock:
            if offset < progress.fetched:
                self._buffer = deque(each for each in self._buffer if each.progress is not progress)
                self._weight = sum(each.size for each in self._buffer)
                progress.open.clear()
                progress.position = progress.committed = offset
            progress.fetched = offset

    def settle(self, tickets: Iterable[Received] | None) -> bool:
        """These are done with, or all; is there something to commit now?"""
        with self._lock:
            if tickets is None:
                for progress in self.held.copied():
                    progress.open.clear()
            else:
                for each in tickets:
                    each.progress.open.pop(each.offset, None)
            return any(progress.is_behind for progress in self.held.copied())

    def ask_commit(self) -> int:
        """Have what is settled committed; the number that `answered` reaches when it is."""
        self.asked += 1
        self.called.set()
        return self.asked

    @property
    def silence(self) -> float:
        """Seconds since the thread was last seen at work."""
        return monotonic() - self.beat

    # -- asked by the thread -------------------------------------------------------------------------------------------

    @property
    def is_asked(self) -> bool:
        """Does somebody wait for a commit?"""
        return self.asked != self.answered

    def hold(self, places: "Iterable[TopicPartition]") -> None:
        """These partitions are this member's from now on, from these offsets."""
        with self._lock:
            for it in places:
                self.held[it.topic, it.partition] = Progress(it.topic, it.partition, it.offset)
        self.stir()

    def to_commit(self) -> list[tuple[Progress, int]]:
        """What is settled and not committed, and up to where."""
        with self._lock:
            return [(progress, progress.low) for progress in self.held.behind()]

    def stop_handing_over(self, taken: list[Progress]) -> None:
        """What was fetched of these partitions goes to others."""
        with self._lock:
            for progress in taken:
                progress.is_ours = False
            self._buffer = deque(each for each in self._buffer if each.progress.is_ours)
            self._weight = sum(each.size for each in self._buffer)
        self.stir()

    def give_up(self, taken: list[Progress]) -> list[tuple[Progress, int]]:
        """These are somebody else's; what is to be committed of them before that."""
        self.stop_handing_over(taken)
        with self._lock:
            moved = [(progress, progress.low) for progress in taken if progress.is_behind]
            self.held.give_up(taken)
        return moved
