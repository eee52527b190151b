"""The thread that has a member's part in a group of Kafka, asked without a server: which topics it follows."""

from collections.abc import Iterator
from itertools import count

import pytest
from confluent_kafka import KafkaError

from tidings.brokers.kafka import sharing as sharing_module
from tidings.brokers.kafka.progress import Progress
from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.sharing import Own, Sharing
from tidings.brokers.kafka.tray import Tray
from tidings.errors import BrokerError


@pytest.fixture
def sharing() -> Iterator[Sharing]:
    """Of a group that hears `order`, with a topic of its own."""
    own = Own("g.again", "order")
    sharing = Sharing(settings_of("kafka://127.0.0.1:9"), Tray(), "g", sorted, expected=None, own=own)
    consumer = sharing.open("g")
    yield sharing
    consumer.close()


def test_a_groups_own_topic_that_is_seen_first_waits_for_the_others(sharing: Sharing) -> None:
    sharing._follow(["g.again"], [("g.again", 0)])
    sharing._follow(["g.again", "order"], [("order", 0)])


@pytest.mark.parametrize(("is_closing", "tries"), [(False, 6), (True, 2)])
def test_who_leaves_tries_a_commit_no_longer_than_a_moment_as_the_group_may_wait_for_it(
    is_closing: bool, tries: int, sharing: Sharing, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
    seconds, asked = count(), list[object]()

    def refuse(wanted: object) -> KafkaError:
        asked.append(wanted)
        return moving

    monkeypatch.setattr(sharing_module, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(sharing_module, "_AGAIN", 0.0)
    monkeypatch.setattr(sharing, "_commit_once", refuse)
    if is_closing:
        sharing._closing.set()

    with pytest.raises(BrokerError):
        sharing._commit([(Progress("order", 0, 0), 1)])

    assert len(asked) == tries
