"""The thread that has a member's part in a group of Kafka, asked without a server: which topics it follows."""

from collections.abc import Iterator

import pytest

from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.sharing import Own, Sharing
from tidings.brokers.kafka.tray import Tray


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
