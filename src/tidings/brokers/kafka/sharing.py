"""`Sharing`: the thread in which a member has its part in a group, with a client that nobody else touches.

It follows the group's partitions as they come and go, looks for new channels, and asks for a sign of life when nothing
came for a while. What is in the partitions it leaves to `Fetching`, and what is settled to `Committing`.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tidings.brokers.kafka.committing import Answered, Committing
from tidings.brokers.kafka.failures import LOST, SHUT_OUT, UNKNOWN_TOPIC, error_in, failure
from tidings.brokers.kafka.library import client, made
from tidings.brokers.kafka.progress import Progress
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.tray import Tray
from tidings.errors import BrokerError, Fenced, TidingsError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

_IDLE: Final = 0.05  # seconds between looks at what the group does; a commit that is asked for ends a wait
_BUSY: Final = 0.003  # seconds between looks at what is still being worked on
_COURTESY: Final = 1.0  # seconds that a partition waits for what is being worked on, before it is given away
_SOON: Final = 0.1  # seconds until a topic that was made is seen


Choose = Callable[[Iterable[str]], list[str]]  # of all topics, those to read


class Own(NamedTuple):
    """A group's own topic, of one partition, which goes to whoever has the first partition of another.

    Shared out with the others' it would count as much as they do, and who has it would get one less of what there is
    to do: of eight partitions, two members had five and three.
    """

    topic: str
    beside: str


class Sharing:
    """The part of one member of a group; without a group, of one listener."""

    def __init__(
        self,
        settings: Settings,
        tray: Tray,
        group: str | None,
        choose: Choose,
        *,
        expected: frozenset[str] | None,
        own: Own | None = None,
    ) -> None:
        self._tray = tray
        self._settings = settings
        self._group = group
        self._choose = choose
        self._expected = expected  # topics; None: others may come at any time
        self._own = own
        self._closing = threading.Event()
        self._committing = Committing(settings, tray, group, self._closing)
        self._is_sound = True  # until it fails
        self._topics: list[str] = []
        self._has_all = False
        self._looked = 0.0
        self._trouble: KafkaError | None = None
        self._consumer: Consumer

    def open(self, group: str) -> "Consumer":
        """Make the consumer, on the thread that is to run."""
        said = self._settings.consumer(group) | {"error_cb": self._told, "on_commit": self._committing.told}
        self._consumer = made(client().Consumer, said, self._settings.url)
        self._committing.open(self._consumer)
        return self._consumer

    def run(self) -> None:
        """Take part until closed or failed."""
        try:
            while not self._closing.is_set():
                self._step()
        except Exception as error:
            self._fail(error)
        finally:
            self.end()

    def end(self) -> None:
        """Let go of everything."""
        self._closing.set()
        with contextlib.suppress(Exception):  # nobody is there to be told
            if self._is_sound:
                self._committing.finish()
        closed = BrokerError(f"{self._settings.url}: this inbox is closed: subscribe again")
        self._tray.fail(closed)
        with contextlib.suppress(Exception):
            self._consumer.close()  # gives its partitions away, through `_taken`
        self._tray.give_up(self._tray.held.copied())

    def close(self) -> None:
        """Have the thread end, after a last commit."""
        self._closing.set()
        self._tray.called.set()

    def _step(self) -> None:
        now = self._tray.beat = monotonic()
        self._committing.begin()
        if now - self._looked > self._patience and not self._has_all:
            self._discover()
        self._listen()
        self._committing.go_on()
        if self._trouble is not None:
            raise failure(self._settings.url, self._trouble, "receiving")
        if now - max(self._tray.heard, self._looked) > self._settings.timeout / 2:
            self._look_for_life()
        self._rest()

    def _listen(self) -> None:
        """Let the client say what it has to: whose partitions are, what is wrong with them or the connection, and what
        became of a commit.
        """
        message = None
        with contextlib.suppress(Answered):
            message = self._consumer.poll(_IDLE if self._committing.is_waiting else 0)
        error = message.error() if message is not None else None
        if error is not None:  # else it is of a partition that was not paused yet, and is fetched
            is_news = not error.name().startswith("_") and error.name() not in UNKNOWN_TOPIC
            if error.fatal() or error.name() in SHUT_OUT or is_news:
                raise failure(self._settings.url, error, "receiving")

    @property
    def _patience(self) -> float:
        """Seconds to the next look for topics; what is expected was made a moment ago."""
        return self._settings.discovery if self._expected is None else min(self._settings.discovery, _SOON)

    def _told(self, error: "KafkaError") -> None:
        if error.fatal() or error.name() in SHUT_OUT:
            self._trouble = error

    def _rest(self) -> None:
        """Wait a little, or until a commit is due; while one is on its way, the client is waited for."""
        if self._committing.is_waiting:
            return
        if not self._tray.is_asked:
            self._tray.called.wait(_IDLE)
        self._tray.called.clear()
        if self._tray.is_asked and (seconds := self._committing.until_next):
            self._closing.wait(seconds)  # what else is asked meanwhile goes with it

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
            shared = [topic for topic in topics if self._own is None or topic != self._own.topic]
            if shared:  # the group's own may be seen before the others
                self._consumer.subscribe(shared, on_assign=self._given, on_revoke=self._taken, on_lost=self._lost)
            return
        self.begin([(place, 0) for place in new if place not in self._tray.held])

    def begin(self, places: "Sequence[tuple[tuple[str, int], int]]") -> None:
        """These partitions are read from there on, whoever else reads them."""
        wanted = [client().TopicPartition(*place, offset) for place, offset in places]
        self._tray.hold(wanted)
        self._assign(wanted)

    def is_known(self, topic: str) -> bool:
        """Has this group begun? Its topic of what it is to hear again is marked when it does."""
        [marked] = self._consumer.committed([client().TopicPartition(topic, 0)], timeout=self._settings.timeout)
        return marked.offset >= 0

    def record(self, places: "Sequence[tuple[tuple[str, int], int]]") -> None:
        """The group, which is new, begins there."""
        wanted = [client().TopicPartition(*place, offset) for place, offset in places]
        error = self._committing.commit_once(wanted)
        if error is not None and error.name() not in LOST:  # another member was quicker
            raise failure(self._settings.url, error, "beginning")

    def _given(self, consumer: "Consumer", places: "list[TopicPartition]") -> None:
        """What a group has not read yet begins at its beginning, and that is committed: it is known how far it is."""
        kafka = client()
        try:
            found = consumer.committed(self._with_own(places), timeout=self._settings.timeout)
        except kafka.KafkaException as raised:
            self._trouble = error_in(raised)  # told by who called the client, which called this
            return
        begun = [place for place in found if place.offset < 0]
        for place in begun:
            place.offset = 0
        self._tray.hold(found)
        self._assign(found)
        if begun:
            self._committing.commit_once(
                begun
            )  # not in the background: tried again late, it would undo a commit that came after

    def _assign(self, places: "list[TopicPartition]") -> None:
        """They are this client's, which is to fetch nothing of them."""
        self._consumer.incremental_assign(places)
        self._consumer.pause(places)

    def _taken(self, consumer: "Consumer", places: "list[TopicPartition]") -> None:
        """What is being worked on is waited for a little; what was settled is committed before anybody else begins."""
        places = self._with_own(places)
        taken = self._tray.held.take(places)
        self._tray.stop_handing_over(taken)
        until = monotonic() + _COURTESY
        while not self._closing.is_set() and any(it.open for it in taken) and monotonic() < until:
            self._tray.called.clear()
            self._tray.called.wait(_BUSY)
        self._give_up(taken, commits=self._is_sound and self._group is not None)
        consumer.incremental_unassign(places)

    def _lost(self, consumer: "Consumer", places: "list[TopicPartition]") -> None:
        places = self._with_own(places)
        self._give_up(self._tray.held.take(places), commits=False)
        consumer.incremental_unassign(places)

    def _with_own(self, places: "list[TopicPartition]") -> "list[TopicPartition]":
        own = self._own
        if own is None or not any(place.topic == own.beside and place.partition == 0 for place in places):
            return places
        return [*places, client().TopicPartition(own.topic, 0)]

    def _give_up(self, taken: list[Progress], *, commits: bool) -> None:
        moved = self._tray.give_up(taken)
        if commits and moved:
            with contextlib.suppress(BrokerError, Fenced):  # it comes again, to whoever has them next
                self._committing.commit(moved)
        self._tray.ring()

    def _fail(self, error: Exception) -> None:
        self._is_sound = False
        if isinstance(error, TidingsError):
            self._tray.fail(error)
        elif isinstance(error, client().KafkaException):
            self._tray.fail(failure(self._settings.url, error_in(error), "receiving"))
        else:
            self._tray.fail(BrokerError(f"{self._settings.url} failed receiving: {type(error).__name__}: {error}"))
