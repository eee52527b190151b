"""`Reading`: the thread in which an inbox's consumer lives; nobody else touches it.

It reads ahead into a bounded buffer, commits when something was settled, follows the group's partitions as they come
and go, looks for new channels, and asks for a sign of life when nothing came for a while.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tidings.brokers.interface import Arrival
from tidings.brokers.kafka.failures import LOST, SHUT_OUT, UNKNOWN_TOPIC, error_in, failure
from tidings.brokers.kafka.library import client
from tidings.brokers.kafka.progress import Held, Progress, Ticket
from tidings.brokers.kafka.settings import Settings
from tidings.errors import BrokerError, Fenced, TidingsError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

_IDLE: Final = 0.05  # seconds of one wait for messages; nothing but a message ends it early
_BUSY: Final = 0.003  # likewise, while a settlement may come any moment
_FULL: Final = 0.5  # seconds without room after which fetching is paused, so that the group can still move partitions
_COURTESY: Final = 1.0  # seconds that a partition waits for what is being worked on, before it is given away
_STEADY: Final = 0.5  # seconds after which what is settled is committed unasked, and after which it is quiet
_SOON: Final = 0.1  # seconds until a topic that was made is seen
_AGAIN: Final = 0.02  # seconds between tries of a commit while the group moves partitions


Choose = Callable[[Iterable[str]], list[str]]  # of all topics, those to read


class Reading:
    """What one member of a group reads; without a group, what one listener does."""

    def __init__(
        self, settings: Settings, group: str | None, choose: Choose, *, room: int, expected: frozenset[str] | None
    ) -> None:
        self.held = Held()
        self.buffer: deque[Ticket] = deque()
        self.failed: TidingsError | None = None
        self.beat = monotonic()  # when the thread was last seen at work
        self.ring: Callable[[], None] = lambda: None  # there is something new: messages, a commit, a failure
        self.space = threading.Event()  # there is room, or something to commit
        self._settings = settings
        self._group = group
        self._choose = choose
        self._room = room
        self._expected = expected  # topics; None: others may come at any time
        self._lock = threading.Lock()
        self._asked = self._answered = 0  # commits
        self._is_closing = False
        self._topics: list[str] = []
        self._has_all = False
        self._heard = monotonic()
        self._looked = self._moved = 0.0
        self._trouble: KafkaError | None = None
        self._consumer: Consumer

    def open(self, group: str) -> "Consumer":
        """Make the consumer, on the thread that is to run."""
        self._consumer = client().Consumer(self._settings.consumer(group) | {"error_cb": self._told})
        return self._consumer

    def run(self) -> None:
        """Read until closed or failed."""
        try:
            while not self._is_closing:
                self._step()
        except Exception as error:
            self._fail(error)
        finally:
            self.end()

    def end(self) -> None:
        """Let go of everything."""
        with contextlib.suppress(Exception):  # nobody is there to be told
            if self._asked != self._answered and self.failed is None:
                self._commit_asked()
        self._is_closing = True
        self.failed = self.failed or BrokerError(f"{self._settings.url}: this inbox is closed: subscribe again")
        self.ring()
        with contextlib.suppress(Exception):
            self._consumer.close()  # gives its partitions away, through `_taken`
        self.held.give_up(self.held.copied())

    def close(self) -> None:
        """Have the thread end, after a last commit."""
        self._is_closing = True
        self.space.set()

    def draw(self, at_most: int) -> list[Ticket]:
        """What is in the buffer, to be made ready. Asked by the event loop."""
        with self._lock:
            buffer = self.buffer
            drawn = [buffer.popleft() for _ in range(min(at_most, len(buffer)))]
        if len(self.buffer) * 2 <= self._room:
            self.space.set()
        return drawn

    def hand_over(self, drawn: Iterable[tuple[Ticket, Arrival | None]]) -> list[Arrival]:
        """Those of these that are still this member's; those that are None are done with. Asked by the event loop."""
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
        """These are done with, or all; is there something to commit now? Asked by the event loop."""
        with self._lock:
            if arrivals is None:
                for progress in self.held.copied():
                    progress.open.clear()
            else:
                for arrival in arrivals:
                    arrival.ticket[0].open.pop(arrival.ticket[1], None)
            return any(progress.is_behind for progress in self.held.copied())

    def ask_commit(self) -> int:
        """Have what is settled committed; the number that `committed` reaches when it is."""
        self._asked += 1
        self.space.set()
        return self._asked

    @property
    def committed(self) -> int:
        """The number of the last commit that was asked for and is done."""
        return self._answered

    @property
    def silence(self) -> float:
        """Seconds since the thread was last seen at work."""
        return monotonic() - self.beat

    def _step(self) -> None:
        now = self.beat = monotonic()
        if self._asked != self._answered or now - self._moved > _STEADY:
            self._commit_asked()
        if now - self._looked > self._patience and not self._has_all:
            self._discover()
        if len(self.buffer) >= self._room:
            self._wait_for_room()
        else:
            is_busy = self.buffer or self.held.unsettled or now - self._heard < _STEADY
            self._read(_BUSY if is_busy else _IDLE)
        if self._trouble is not None:
            raise failure(self._settings.url, self._trouble, "receiving")
        if now - max(self._heard, self._looked) > self._settings.timeout / 2:
            self._look_for_life()

    def _read(self, seconds: float) -> None:
        first = self._consumer.poll(seconds)
        if first is None:
            return
        messages = [first, *self._consumer.consume(self._room - len(self.buffer), 0)]
        self._heard = monotonic()
        self._buffer(messages)
        self.ring()

    def _buffer(self, messages: "list[Message]") -> None:
        held, buffer, now = self.held, self.buffer, None
        with self._lock:
            for message in messages:
                if message.error() is not None:
                    self._weigh(message)
                    continue
                place: Any = (message.topic(), message.partition())
                now = held.get(place)
                if now is not None:
                    buffer.append((now, message.offset() or 0, message))

    def _weigh(self, message: "Message") -> None:
        error = message.error()
        assert error is not None
        if error.fatal() or error.name() in SHUT_OUT:
            raise failure(self._settings.url, error, "receiving")
        if error.name() not in UNKNOWN_TOPIC and not error.name().startswith("_"):
            raise failure(self._settings.url, error, "receiving")

    @property
    def _patience(self) -> float:
        """Seconds to the next look for topics; what is expected was made a moment ago."""
        return self._settings.discovery if self._expected is None else min(self._settings.discovery, _SOON)

    def _told(self, error: "KafkaError") -> None:
        if error.fatal() or error.name() in SHUT_OUT:
            self._trouble = error

    def _wait_for_room(self) -> None:
        """Fetching is paused when it takes long, as the client hears of its group only while it hands messages over."""
        self.space.clear()
        if len(self.buffer) < self._room or self._asked != self._answered or self.space.wait(_FULL):
            return
        self._consumer.pause(self._consumer.assignment())
        while not self._is_closing and len(self.buffer) * 2 > self._room and self._asked == self._answered:
            self.beat = monotonic()
            late = self._consumer.poll(_IDLE)
            if late is not None:  # it had been on its way, or is of a partition that was given meanwhile
                self._buffer([late])
                self._consumer.pause(self._consumer.assignment())
        self._consumer.resume(self._consumer.assignment())

    def _discover(self) -> None:
        found = self._listed()
        topics = self._choose(found)
        self._has_all = self._expected is not None and self._expected <= set(topics)
        if topics != self._topics:
            new = [
                (topic, number) for topic in topics if topic not in self._topics for number in found[topic].partitions
            ]
            self._topics = topics
            self._follow(topics, new)

    def _look_for_life(self) -> None:
        """Nothing has come for a while: whoever is there answers."""
        if self._topics:
            self._listed(topic=self._topics[0])
        else:
            self._discover()

    def _listed(self, **only: str) -> dict[str, Any]:
        kafka = client()
        try:
            found: dict[str, Any] = self._consumer.list_topics(timeout=self._settings.timeout, **only).topics
        except kafka.KafkaException as raised:
            raise failure(self._settings.url, error_in(raised), "looking for channels") from None
        self._looked = monotonic()
        return {name: each for name, each in found.items() if each.partitions}  # none: it is still being made

    def _follow(self, topics: list[str], new: list[tuple[str, int]]) -> None:
        if self._group is not None:
            self._consumer.subscribe(topics, on_assign=self._given, on_revoke=self._taken, on_lost=self._lost)
            return
        self.begin([(place, 0) for place in new if place not in self.held])

    def begin(self, places: "Sequence[tuple[tuple[str, int], int]]") -> None:
        """Read these partitions from there on, whoever else does."""
        wanted = [client().TopicPartition(*place, offset) for place, offset in places]
        with self._lock:
            self.held.update({place: Progress(*place, offset) for place, offset in places})
        self._consumer.incremental_assign(wanted)

    def is_known(self, topic: str) -> bool:
        """Has this group begun? Its topic of what it is to hear again is marked when it does."""
        [marked] = self._consumer.committed([client().TopicPartition(topic, 0)], timeout=self._settings.timeout)
        return marked.offset >= 0

    def record(self, places: "Sequence[tuple[tuple[str, int], int]]") -> None:
        """The group, which is new, begins there."""
        wanted = [client().TopicPartition(*place, offset) for place, offset in places]
        error = self._commit_once(wanted)
        if error is not None and error.name() not in LOST:  # another member was quicker
            raise failure(self._settings.url, error, "beginning")

    def _given(self, consumer: "Consumer", places: "list[TopicPartition]") -> None:
        """What a group has not read yet begins at its beginning, and that is committed: it is known how far it is."""
        found = consumer.committed(places, timeout=self._settings.timeout)
        begun = [place for place in found if place.offset < 0]
        for place in begun:
            place.offset = 0
        with self._lock:
            for place in found:
                self.held[place.topic, place.partition] = Progress(place.topic, place.partition, place.offset)
        consumer.incremental_assign(found)
        if begun:
            consumer.commit(offsets=begun, asynchronous=True)

    def _taken(self, consumer: "Consumer", places: "list[TopicPartition]") -> None:
        """What is being worked on is waited for a little; what was settled is committed before anybody else begins."""
        taken = self.held.take(places)
        with self._lock:
            self.buffer = deque(ticket for ticket in self.buffer if ticket[0] not in taken)
        until = monotonic() + _COURTESY
        while not self._is_closing and any(it.open for it in taken) and monotonic() < until:
            self.space.clear()
            self.space.wait(_BUSY)
        self._give_up(taken, commits=True)

    def _lost(self, consumer: "Consumer", places: "list[TopicPartition]") -> None:
        self._give_up(self.held.take(places), commits=False)

    def _give_up(self, taken: list[Progress], *, commits: bool) -> None:
        with self._lock:
            moved = [(it, it.low) for it in taken if it.is_behind]
            self.buffer = deque(ticket for ticket in self.buffer if ticket[0] not in taken)
            self.held.give_up(taken)
        if commits and moved and self._group is not None and self.failed is None:
            with contextlib.suppress(BrokerError, Fenced):  # it comes again, to whoever has them next
                self._commit(moved)
        self.ring()

    def _commit_asked(self) -> None:
        asked = self._asked
        with self._lock:
            moved = [(progress, progress.low) for progress in self.held.behind()]
        if moved and self._group is not None:
            self._commit(moved)
        self._answered, self._moved = asked, monotonic()
        if moved:
            self.ring()

    def _commit(self, moved: list[tuple[Progress, int]]) -> None:
        kafka, until = client(), monotonic() + self._settings.timeout
        wanted = [kafka.TopicPartition(it.topic, it.partition, offset) for it, offset in moved]
        while True:
            error = self._commit_once(wanted)
            if error is None:
                break
            if error.name() in LOST:
                raise Fenced(self._group or "", self._consumer.memberid())
            if error.name() != "REBALANCE_IN_PROGRESS" or monotonic() > until:
                raise failure(self._settings.url, error, "settling")
            self.space.clear()
            self.space.wait(_AGAIN)
        for progress, offset in moved:
            progress.committed = max(progress.committed, offset)

    def _commit_once(self, wanted: "list[TopicPartition]") -> Any:
        kafka = client()
        try:
            done = self._consumer.commit(offsets=wanted, asynchronous=False)
        except kafka.KafkaException as raised:
            return error_in(raised)
        return next((place.error for place in done or () if place.error is not None), None)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, TidingsError):
            self.failed = error
        elif isinstance(error, client().KafkaException):
            self.failed = failure(self._settings.url, error_in(error), "receiving")
        else:
            self.failed = BrokerError(f"{self._settings.url} failed receiving: {type(error).__name__}: {error}")
