"""The dead letters of groups: messages in a compacted topic, each under the place where it lay.

A letter that was decided about is followed by an empty message under the same key, after which Kafka may forget both.
"""

from typing import TYPE_CHECKING, Any, Final

from tidings.brokers.interface import Arrival, DeadLetter
from tidings.brokers.kafka.failures import error_in, failure
from tidings.brokers.kafka.library import client
from tidings.brokers.kafka.received import Received, received
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.wire import (
    ATTEMPTS,
    CHANNEL,
    DETAIL,
    GROUP,
    KEY,
    OWN,
    PLACE,
    REASON,
    Headers,
    Outgoing,
    Wire,
    attempts_in,
    key_of,
)

if TYPE_CHECKING:
    from confluent_kafka import Message

_LONGEST: Final = 16_000  # bytes of a reason's detail; its end, which says most, is kept
_READ: Final = 500  # messages in one look
_SLICE: Final = 0.1  # seconds of one look


def letter_of(arrival: Arrival, topic: str, group: str, reason: str, detail: str, channel: str) -> Outgoing:
    """The message of an arrival, as a dead letter in this topic."""
    message: Received = arrival.ticket
    said: Headers = [
        (GROUP, group.encode()),
        (REASON, reason.encode()[:1000]),
        (DETAIL, detail.encode()[-_LONGEST:]),
        (ATTEMPTS, str(arrival.attempt).encode()),
        *_origin(message, channel),
    ]
    return Outgoing(topic, message.place.encode(), message.value, [*_own_of(message), *said], arrival.notice.id)


def again_of(letter: DeadLetter, topic: str) -> Outgoing:
    """A dead letter's message, for its group to hear again."""
    message: Received = letter.ticket
    kept = [(name, value) for name, value in message.headers if name not in (GROUP, REASON, DETAIL)]
    return Outgoing(topic, key_of(message), message.value, kept, letter.event.id)


def resolution_of(letter: DeadLetter) -> Outgoing:
    """The message that says that a dead letter was decided about."""
    message: Received = letter.ticket
    return Outgoing(message.topic, message.key, None, [], letter.event.id)


def read_letters(settings: Settings, wire: Wire, topics: list[str]) -> list[DeadLetter]:
    """What these topics have from beginning to end and nobody has decided about. Blocks.

    Raises:
        BrokerUnreachable: nobody answered.
    """
    kafka = client()
    consumer = kafka.Consumer(settings.consumer(settings.prefix + "letters") | {"enable.partition.eof": True})
    try:
        consumer.assign([kafka.TopicPartition(topic, 0, kafka.OFFSET_BEGINNING) for topic in topics])
        return [_letter(received(each), wire) for each in _open_ones(consumer, settings, len(topics))]
    except kafka.KafkaException as raised:
        raise failure(settings.url, error_in(raised), "reading dead letters") from None
    finally:
        consumer.close()


def _open_ones(consumer: Any, settings: Settings, ends: int) -> "list[Message]":
    kafka, found, silent = client(), dict[tuple[str, bytes], Any](), 0.0
    while ends:
        messages = consumer.consume(1, _SLICE)
        messages += consumer.consume(_READ, 0) if messages else []
        silent = 0.0 if messages else silent + _SLICE
        if silent > settings.timeout:
            raise kafka.KafkaException(kafka.KafkaError(kafka.KafkaError._TIMED_OUT))
        for message in messages:
            if message.error() is None:
                place = (message.topic(), message.key() or b"")
                found.pop(place, None)
                if message.value() is not None:
                    found[place] = message
            elif message.error().name() == "_PARTITION_EOF":
                ends -= 1
            else:
                raise kafka.KafkaException(message.error())
    return list(found.values())


def _letter(message: Received, wire: Wire) -> DeadLetter:
    headers = dict(message.headers)
    return DeadLetter(
        headers.get(GROUP, b"").decode(),
        wire.arrival(message).event,
        headers.get(REASON, b"").decode(errors="ignore"),
        headers.get(DETAIL, b"").decode(errors="ignore"),
        attempts_in(message),
        message,
    )


def _origin(message: Received, channel: str) -> Headers:
    """Where it came from first. The last header tells the reader that these are there."""
    before = dict(message.headers)
    key = key_of(message)
    kept = [(KEY, key)] if key is not None else []
    return [
        *kept,
        (PLACE, before.get(PLACE) or message.place.encode()),
        (CHANNEL, before.get(CHANNEL) or channel.encode()),
    ]


def _own_of(message: Received) -> Headers:
    return [(name, value) for name, value in message.headers if not name.startswith(OWN)]
