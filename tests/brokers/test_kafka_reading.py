"""The thread that reads from Kafka, asked without a server: which topics it follows."""

from collections.abc import Iterator

import pytest

from tidings.brokers.kafka.reading import Own, Reading
from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.tray import Tray


@pytest.fixture
def reading() -> Iterator[Reading]:
    """Of a group that hears `order`, with a topic of its own."""
    own = Own("g.again", "order")
    reading = Reading(settings_of("kafka://127.0.0.1:9"), Tray(), "g", sorted, expected=None, own=own)
    consumer = reading.open("g")
    yield reading
    consumer.close()


def test_a_groups_own_topic_that_is_seen_first_waits_for_the_others(reading: Reading) -> None:
    reading._follow(["g.again"], [("g.again", 0)])
    reading._follow(["g.again", "order"], [("order", 0)])
