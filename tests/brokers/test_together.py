"""What came together is read together: on Kafka and Redis it says what each message says that is read alone."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from tidings import Event
from tidings.brokers import Arrival
from tidings.brokers.binding import CONTENT_TYPE
from tidings.brokers.foreign import Foreign
from tidings.brokers.kafka.received import Received
from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.wire import Wire
from tidings.brokers.redis.entries import DATA, Entries
from tidings.brokers.redis.part import Part

TIME = datetime(2026, 1, 2, tzinfo=UTC)
FOREIGN = Foreign("kafka://127.0.0.1", {})
PART = Part("stream:order:0", "order")
Fields = list[tuple[str, bytes | None]]
Read = Callable[[Sequence[Fields]], list[Arrival]]


def plain(number: int) -> Fields:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%d" % number),
        ("ce_source", b"shop"),
        ("ce_type", b"order:paid" if number % 3 else b"order:created"),
        ("ce_partitionkey", b"k%d" % number),
        ("ce_time", TIME.isoformat().encode()),
        (CONTENT_TYPE, b"application/json"),
    ]


def changed(number: int, name: str, value: bytes | None) -> Fields:
    return [(each, value if each == name else said) for each, said in plain(number)]


ODD: dict[str, Callable[[int], Fields]] = {
    "of another shape": lambda number: [*plain(number)[:-1], ("ce_subject", b"s"), plain(number)[-1]],
    "without a key": lambda number: [each for each in plain(number) if each[0] != "ce_partitionkey"],
    "of another language": lambda number: changed(number, "ce_partitionkey", "kunde-ä".encode()),
    "with a space": lambda number: changed(number, "ce_id", b"a %d" % number),
    "with an empty id": lambda number: changed(number, "ce_id", b""),
    "of no time": lambda number: changed(number, "ce_time", b"yesterday"),
    "no text": lambda number: changed(number, "ce_source", b"\xff"),
    "no event": lambda number: [("other", b"%d" % number)],
    "of no headers": lambda number: [],
}


def by_kafka(together: bool) -> Read:
    wire = Wire(settings_of("kafka://127.0.0.1"), FOREIGN)

    def read(messages: Sequence[Fields]) -> list[Arrival]:
        received = [
            Received("order", 0, place, None, b'{"a":1}', tuple(name for name, _ in it), tuple(said for _, said in it))
            for place, it in enumerate(messages)
        ]
        return wire.arrivals(received) if together else list(map(wire.arrival, received))

    return read


def by_redis(together: bool) -> Read:
    entries = Entries(FOREIGN)

    def read(messages: Sequence[Fields]) -> list[Arrival]:
        came = [
            (b"%d-0" % place, [each for name, said in it for each in (name.encode(), said or b"")] + [DATA, b'{"a":1}'])
            for place, it in enumerate(messages)
        ]
        return entries.arrivals(PART, came) if together else [entries.arrival(PART, *each) for each in came]

    return read


def told(arrivals: Sequence[Arrival]) -> list[tuple[Event, object, int]]:
    def bare(event: Event) -> Event:
        return msgspec.structs.replace(event, data=bytes(event.data), time=event.time if event.time == TIME else None)

    return [(bare(each.event), type(each.failure), each.attempt) for each in arrivals]


@pytest.mark.parametrize("by", [by_kafka, by_redis])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_messages_say_together_what_they_say_alone_and_the_ticket_is_each_ones_own(
    odd: Callable[[int], Fields], by: Callable[[bool], Read], seed: int
) -> None:
    together, alone, chance = by(True), by(False), random.Random(seed)
    for share in (0.0, 0.0, 0.02, 0.5, 1.0):
        messages = [odd(number) if chance.random() < share else plain(number) for number in range(100)]

        found, expected = together(messages), alone(messages)

        assert told(found) == told(expected)
        assert [each.ticket for each in found] == [each.ticket for each in expected]


def test_of_nothing_there_is_nothing_to_say() -> None:
    assert by_kafka(True)([]) == []


def test_a_null_header_of_kafka_is_read_with_care() -> None:
    together, alone = by_kafka(True), by_kafka(False)
    messages = [plain(0), plain(1), changed(2, "ce_id", None), changed(3, "ce_partitionkey", None), plain(4)]

    for _ in range(2):
        assert told(together(messages)) == told(alone(messages))
