"""`Tray`: what lies between the thread that reads and the event loop that hands over, and all that both touch."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from tidings.brokers.interface import Arrival
from tidings.brokers.kafka.progress import Held, Progress, Ticket
from tidings.errors import TidingsError

if TYPE_CHECKING:
    from confluent_kafka import Message, TopicPartition


class Tray:
    """Messages that were read ahead, how far each partition is, and the commits that were asked for."""

    def __init__(self, room: int) -> None:
        self.held = Held()
        self.buffer: deque[Ticket] = deque()
        self.room = room  # messages that it takes
        self.failed: TidingsError | None = None
        self.beat = monotonic()  # when the thread was last seen at work
        self.ring: Callable[[], None] = lambda: None  # there is something new: messages, a commit, a failure
        self.space = threading.Event()  # there is room, or something to commit
        self.asked = self.answered = 0  # commits
        self._lock = threading.Lock()

    # -- asked by the event loop ---------------------------------------------------------------------------------------

    def draw(self, at_most: int) -> list[Ticket]:
        """What is in the buffer, to be made ready."""
        with self._lock:
            buffer = self.buffer
            drawn = [buffer.popleft() for _ in range(min(at_most, len(buffer)))]
        if len(self.buffer) * 2 <= self.room:
            self.space.set()
        return drawn

    def hand_over(self, drawn: Iterable[tuple[Ticket, Arrival | None]]) -> list[Arrival]:
        """Those of these that are still this member's; those that are None are done with."""
        handed: list[Arrival] = []
        with self._lock:
            for (progress, offset, _), arrival in drawn:
                if progress.is_ours:
                    progress.position = offset + 1
                    if arrival is not None:
                        progress.open[offset] = None
                        handed.append(arrival)
        return handed

    def settle(self, arrivals: Iterable[Arrival] | None) -> bool:
        """These are done with, or all; is there something to commit now?"""
        with self._lock:
            if arrivals is None:
                for progress in self.held.copied():
                    progress.open.clear()
            else:
                for arrival in arrivals:
                    arrival.ticket[0].open.pop(arrival.ticket[1], None)
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
    def is_full(self) -> bool:
        """Does it take no more?"""
        return len(self.buffer) >= self.room

    @property
    def is_half_full(self) -> bool:
        """Is it not yet time to read on?"""
        return len(self.buffer) * 2 > self.room

    @property
    def is_busy(self) -> bool:
        """May something be settled any moment?"""
        return bool(self.buffer or self.held.unsettled)

    def put(self, messages: "list[Message]") -> None:
        """Messages as they come; of partitions that are not held any more they are left out."""
        held, buffer = self.held, self.buffer
        with self._lock:
            for message in messages:
                place: Any = (message.topic(), message.partition())
                progress = held.get(place)
                if progress is not None:
                    buffer.append((progress, message.offset() or 0, message))

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
            self.buffer = deque(ticket for ticket in self.buffer if ticket[0].is_ours)

    def give_up(self, taken: list[Progress]) -> list[tuple[Progress, int]]:
        """These are somebody else's; what is to be committed of them before that."""
        self.stop_handing_over(taken)
        with self._lock:
            moved = [(progress, progress.low) for progress in taken if progress.is_behind]
            self.held.give_up(taken)
        return moved
