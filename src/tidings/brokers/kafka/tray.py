"""`Tray`: what lies between the thread that reads and the event loop that hands over, and all that both touch."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tidings.brokers.kafka.progress import Held, Progress
from tidings.brokers.kafka.received import Received, received
from tidings.errors import TidingsError

if TYPE_CHECKING:
    from confluent_kafka import Message, TopicPartition


_ROOM: Final = 4000  # messages: Python may let either side wait for 5 ms until the other gives way
_MOST: Final = 16_000_000  # bytes, about: what came at once is taken whole


class Tray:
    """Messages that were read ahead, how far each partition is, and the commits that were asked for."""

    def __init__(self) -> None:
        self.held = Held()
        self.buffer: deque[Received] = deque()
        self._weight = 0  # bytes in the buffer
        self.failed: TidingsError | None = None
        self.beat = monotonic()  # when the thread was last seen at work
        self.ring: Callable[[], None] = lambda: None  # there is something new: messages, a commit, a failure
        self.space = threading.Event()  # there is room, or something to commit
        self.asked = self.answered = 0  # commits
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()  # of the headers of the last message

    # -- asked by the event loop ---------------------------------------------------------------------------------------

    def draw(self, at_most: int) -> list[Received]:
        """What comes next; it is open until it is settled."""
        with self._lock:
            buffer = self.buffer
            drawn = [buffer.popleft() for _ in range(min(at_most, len(buffer)))]
            for each in drawn:
                progress = each.progress
                progress.position = each.offset + 1
                progress.open[each.offset] = None
                self._weight -= len(each.value)
        if not self.is_half_full:
            self.space.set()
        return drawn

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
        self.space.set()
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

    @property
    def is_full(self) -> bool:
        """Does it take no more?"""
        return self.room <= 0 or self._weight >= _MOST

    @property
    def room(self) -> int:
        """How many more messages it takes."""
        return _ROOM - len(self.buffer)

    @property
    def is_half_full(self) -> bool:
        """Is it not yet time to read on?"""
        return len(self.buffer) * 2 > _ROOM or self._weight * 2 > _MOST

    @property
    def is_busy(self) -> bool:
        """May something be settled any moment?"""
        return bool(self.buffer or self.held.unsettled)

    def put(self, messages: "list[Message]") -> None:
        """Messages as they come; of partitions that are not held any more they are left out.

        Each is let go of at once: thousands of them, with their headers, would keep the garbage collector busy.
        """
        read: list[Received] = []
        names = self._names
        messages.reverse()
        while messages:
            message = messages.pop()
            place: Any = (message.topic(), message.partition())
            progress = self.held.get(place)
            if progress is not None:
                each = received(message, progress)
                if each.names == names:
                    each.names = names  # one tuple for all that look alike
                names = each.names
                read.append(each)
        self._names = names
        with self._lock:
            self.buffer += read
            self._weight += sum(len(each.value) for each in read)

    def hold(self, places: "Iterable[TopicPartition]") -> None:
        """These partitions are this member's from now on, from these offsets."""
        with self._lock:
            for it in places:
                self.held[it.topic, it.partition] = Progress(it.topic, it.partition, it.offset)

    def to_commit(self) -> list[tuple[Progress, int]]:
        """What is settled and not committed, and up to where."""
        with self._lock:
            return [(progress, progress.low) for progress in self.held.behind()]

    def stop_handing_over(self, taken: list[Progress]) -> None:
        """What was read of these partitions goes to others."""
        with self._lock:
            for progress in taken:
                progress.is_ours = False
            self.buffer = deque(each for each in self.buffer if each.progress.is_ours)
            self._weight = sum(len(each.value) for each in self.buffer)

    def give_up(self, taken: list[Progress]) -> list[tuple[Progress, int]]:
        """These are somebody else's; what is to be committed of them before that."""
        self.stop_handing_over(taken)
        with self._lock:
            moved = [(progress, progress.low) for progress in taken if progress.is_behind]
            self.held.give_up(taken)
        return moved
