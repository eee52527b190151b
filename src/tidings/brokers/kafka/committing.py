"""`Committing`: telling the group's server how far a member is, without standing still until it answers.

A commit takes the connection over which a member joins, and a server answers one question of a connection after the
other. So while a group waits for one of its members, the commits of all others wait behind that. Whoever stood still
meanwhile would be given up, too: a group knows that a member lives by its calls of the client, which are what says that
a commit has an answer.
"""

from collections.abc import Sequence
from threading import Event
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from tidings.brokers.kafka.failures import LOST, PASSING, error_in, failure
from tidings.brokers.kafka.library import client
from tidings.brokers.kafka.progress import Progress
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.tray import Tray
from tidings.errors import BrokerUnreachable, Fenced

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

_STEADY: Final = 0.5  # seconds after which what is settled is committed unasked
_REST: Final = 0.02  # seconds between commits: what is settled meanwhile goes together
_LEAVING: Final = 1.0  # seconds for which who leaves tries a commit again: the group may be waiting for it

Moved = list[tuple[Progress, int]]  # partitions, and up to where they are settled


class Answered(Exception):  # no error: raised through the client, which returns at once
    """The commit that was on its way has its answer."""


class Committing:
    """The commits of one member. Without a group there is nobody to tell."""

    def __init__(self, settings: Settings, tray: Tray, group: str | None, closing: Event) -> None:
        self._settings = settings
        self._tray = tray
        self._group = group
        self._closing = closing
        self._consumer: Consumer
        self._on_its_way: Moved = []
        self._asked = 0  # by the tray, before that was sent
        self._sent = 0.0  # when
        self._is_answered = False
        self._answer: KafkaError | None = None
        self._done = 0.0  # when the last was
        self._next = 0.0  # when another one may follow
        self._refused = 0.0  # when the first was of those that were refused since

    def open(self, consumer: "Consumer") -> None:
        """They go by this client."""
        self._consumer = consumer

    def told(self, error: "KafkaError | None", places: "Sequence[TopicPartition]") -> None:
        """Called by the client, when it is called.

        Raises:
            Answered: unless this member is leaving.
        """
        self._is_answered, self._answer = True, error or _refusal(places)
        if not self._closing.is_set():  # else the client has more to do
            raise Answered

    @property
    def is_waiting(self) -> bool:
        """Is there a commit on its way?"""
        return bool(self._on_its_way) and not self._is_answered

    @property
    def until_next(self) -> float:
        """Seconds until another one may follow the last."""
        return max(self._next - monotonic(), 0.0)

    def begin(self) -> None:
        """Send what is settled, when that is due and nothing is on its way."""
        now = monotonic()
        is_due = self._tray.is_asked or now - self._done > _STEADY
        if is_due and now >= self._next and not self._on_its_way:
            self._asked, moved = self._tray.asked, self._tray.to_commit()
            if moved and self._group is not None:
                self._send(moved, now)
            else:
                self._conclude(moved)

    def go_on(self) -> None:
        """Tell who waits for it that it is committed; where the group moves partitions, have it sent again.

        Raises:
            Fenced: the partitions are another member's.
            BrokerError: it was refused for another reason, or not answered for longer than a group may wait.
        """
        now = monotonic()
        if self._is_answered:
            answer, moved = self._answer, self._on_its_way
            self._is_answered, self._on_its_way = False, []
            if answer is None:
                self._conclude(moved)
            else:
                self._next, self._refused = now + _REST, self._refused or now
                self._check(answer, is_over=now - self._refused > self._settings.patience)
        elif self._on_its_way and now - self._sent > self._settings.patience + self._settings.timeout:
            raise BrokerUnreachable(self._settings.url, "a commit has had no answer for a long time")

    def finish(self) -> None:
        """Commit what somebody still waits for, and wait for the answer, or a little while.

        Raises:
            Fenced, BrokerError: it did not come about.
        """
        if self._tray.is_asked:
            self._asked, moved = self._tray.asked, self._tray.to_commit()
            self.commit(moved)
            self._conclude(moved)

    def commit(self, moved: Moved) -> None:
        """Commit this now: the client is calling, and cannot be called.

        The partitions are this member's until it has returned to the client, so what is refused while the group moves
        partitions is tried again.

        Raises:
            Fenced, BrokerError: it did not come about.
        """
        began = monotonic()
        while moved and self._group is not None and (error := self.commit_once(_places(moved))) is not None:
            patience = min(_LEAVING, self._settings.timeout) if self._closing.is_set() else self._settings.timeout
            self._check(error, is_over=monotonic() - began > patience)
            sleep(_REST)

    def commit_once(self, places: "list[TopicPartition]") -> "KafkaError | None":
        """The answer of the server, which is waited for; None where it is done."""
        try:
            done = self._consumer.commit(offsets=places, asynchronous=False)
        except client().KafkaException as raised:
            return error_in(raised)
        return _refusal(done or ())

    def _send(self, moved: Moved, now: float) -> None:
        self._on_its_way, self._sent = moved, now
        try:
            self._consumer.commit(offsets=_places(moved), asynchronous=True)
        except client().KafkaException as raised:
            self._is_answered, self._answer = True, error_in(raised)

    def _conclude(self, moved: Moved) -> None:
        for progress, offset in moved:
            if offset <= progress.position:  # else it was begun again meanwhile, before that
                progress.committed = offset
        self._done, self._refused = monotonic(), 0.0
        self._next = self._done + _REST
        if self._asked != self._tray.answered:
            self._tray.answered = self._asked
            self._tray.tell()

    def _check(self, error: "KafkaError", *, is_over: bool) -> None:
        """Is there any use in trying it again?"""
        if error.name() not in PASSING or is_over:
            if error.name() in LOST:
                raise Fenced(self._group or "", self._consumer.memberid())
            raise failure(self._settings.url, error, "settling")


def _places(moved: Moved) -> "list[TopicPartition]":
    kafka = client()
    return [kafka.TopicPartition(it.topic, it.partition, offset) for it, offset in moved]


def _refusal(places: "Sequence[TopicPartition]") -> "KafkaError | None":
    refused: KafkaError | None = next((place.error for place in places if place.error is not None), None)
    return refused
