"""How a member of a group on Kafka tells how far it is, asked without a server."""

from itertools import count
from threading import Event
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from tidings.brokers.kafka import committing as committing_module
from tidings.brokers.kafka.committing import Answered, Committing
from tidings.brokers.kafka.progress import Progress
from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.tray import Tray
from tidings.errors import BrokerError, BrokerUnreachable, Fenced

MOVING = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
PASSED = KafkaError(KafkaError.ILLEGAL_GENERATION)
UNKNOWN = KafkaError(KafkaError.UNKNOWN_MEMBER_ID)


class Client:
    """A consumer of which the commits are kept."""

    def __init__(self) -> None:
        self.commits: list[list[tuple[str, int, int]]] = []

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        """It goes away, and is answered when the test says so."""
        self.commits.append([(place.topic, place.partition, place.offset) for place in offsets])

    def memberid(self) -> str:
        """Whom the group knows."""
        return "me"


class Case:
    """One member with one partition, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 100.0
        self.tray, self.client, self.closing = Tray(), Client(), Event()
        self.settings = settings_of("kafka://127.0.0.1:9")
        self.tray.hold([TopicPartition("order", 0, 0)])
        self.committing = Committing(self.settings, self.tray, "g", self.closing)
        client: Any = self.client
        self.committing.open(client)
        monkeypatch.setattr(committing_module, "monotonic", lambda: self.seconds)

    @property
    def progress(self) -> Progress:
        """Of its partition."""
        return self.tray.held["order", 0]

    def settle(self, offset: int) -> int:
        """All before this is settled; the number of the commit that is asked for."""
        self.progress.position = offset
        return self.tray.ask_commit()

    def answer(self, error: KafkaError | None = None) -> None:
        """The server answers what is on its way."""
        with pytest.raises(Answered):
            self.committing.told(error, [])
        self.committing.go_on()

    def wait(self, seconds: float) -> None:
        """Time passes, and it is looked what there is to do."""
        self.seconds += seconds
        self.committing.go_on()
        self.committing.begin()


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    """One member."""
    return Case(monkeypatch)


def test_what_is_settled_while_a_commit_is_on_its_way_goes_with_the_next(case: Case) -> None:
    first = case.settle(3)
    case.wait(0)
    second = case.settle(7)
    case.wait(1)
    assert case.client.commits == [[("order", 0, 3)]]

    case.answer()
    assert case.tray.answered == first
    case.wait(1)
    case.answer()

    assert case.client.commits[1:] == [[("order", 0, 7)]]
    assert case.tray.answered == second
    assert case.progress.committed == 7


@pytest.mark.parametrize("refused", [MOVING, PASSED])
def test_what_is_refused_while_the_group_moves_partitions_is_sent_again(refused: KafkaError, case: Case) -> None:
    asked = case.settle(3)
    case.wait(0)
    case.answer(refused)
    case.progress.position = 5
    case.wait(1)
    case.answer()

    assert case.client.commits == [[("order", 0, 3)], [("order", 0, 5)]]
    assert case.tray.answered == asked


@pytest.mark.parametrize(("refused", "raised"), [(MOVING, BrokerError), (PASSED, Fenced)])
def test_a_group_that_moves_partitions_for_ever_is_not_waited_for(
    refused: KafkaError, raised: type[Exception], case: Case
) -> None:
    case.settle(3)
    case.wait(0)
    case.answer(refused)
    case.wait(case.settings.patience)
    case.answer(refused)
    case.wait(1)

    with pytest.raises(raised):
        case.answer(refused)


def test_a_commit_of_somebody_whom_the_group_does_not_know_is_not_sent_again(case: Case) -> None:
    case.settle(3)
    case.wait(0)

    with pytest.raises(Fenced):
        case.answer(UNKNOWN)


def test_a_commit_that_nobody_answers_is_given_up(case: Case) -> None:
    case.settle(3)
    case.wait(0)
    case.wait(case.settings.patience)

    with pytest.raises(BrokerUnreachable, match="no answer"):
        case.wait(case.settings.timeout + 1)


def test_a_partition_that_is_begun_again_while_a_commit_is_on_its_way_is_not_as_far_as_that(case: Case) -> None:
    case.settle(3)
    case.wait(0)
    case.progress.fetched = 3
    case.tray.begin_again(case.progress, 1)
    case.answer()

    assert case.progress.committed == 1


def test_who_is_told_while_it_leaves_interrupts_nothing(case: Case) -> None:
    case.settle(3)
    case.wait(0)
    case.closing.set()
    case.committing.told(None, [])


@pytest.mark.parametrize(("is_closing", "tries"), [(False, 6), (True, 2)])
def test_who_leaves_tries_a_commit_no_longer_than_a_moment_as_the_group_may_wait_for_it(
    is_closing: bool, tries: int, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, asked = count(), list[object]()

    def refuse(places: object) -> KafkaError:
        asked.append(places)
        return MOVING

    monkeypatch.setattr(committing_module, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(committing_module, "_REST", 0.0)
    monkeypatch.setattr(case.committing, "commit_once", refuse)
    if is_closing:
        case.closing.set()

    with pytest.raises(BrokerError):
        case.committing.commit([(case.progress, 1)])

    assert len(asked) == tries
