"""What hands messages to Kafka: one producer, whose answers are awaited a publish at a time.

It is flushed when all messages of a publish are handed over, as nothing more is to come that its batches could wait
for: one event was acknowledged after 0.25 ms, where waiting for company of 2 ms took it 2.6.

The producer numbers what it sends, so that a repeat after a lost answer is stored once and in order. When it could not
tell what became of a message, it is thrown away with all that it still holds: nothing may overtake what is published
again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tidings.brokers.kafka.failures import TOO_LARGE, UNKNOWN_TOPIC, error_in, failure
from tidings.brokers.kafka.library import client, made
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.wire import Outgoing
from tidings.concurrency import DedicatedThread
from tidings.errors import BrokerError, BrokerUnreachable, EventRefused

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_SLICE: Final = 0.01  # seconds of one wait for answers, as it may be for those of others that came meanwhile
_ROOM: Final = 0.005  # seconds until there may be room for more
_STEP: Final = 500  # messages handed over before others of the event loop have a turn


class Publication:
    """The messages of one publish, and what became of them. Told by the thread that serves the producer."""

    def __init__(self, producer: Any) -> None:
        self.producer = producer
        self.error: KafkaError | None = None
        self.refused: int | None = None  # the place among them of one that is too large
        self.count = -1  # how many there are, once all are handed over
        self._answered = 0

    def answered(self, error: "KafkaError | None", message: "Message") -> None:
        """One has arrived, or failed."""
        self._answered += 1
        if error is not None and self.error is None:
            self.error = error

    def wait(self, seconds: float) -> bool:
        """Have them sent now, and serve the producer until all are answered; False when that takes longer."""
        left = int(seconds / _SLICE) + 1
        while self._answered != self.count and left:
            self.producer.flush(_SLICE)
            left -= 1
        return self._answered == self.count


class Outlet:
    """Publishes; its producer is made at the first use, and anew after a failure."""

    def __init__(self, settings: Settings, thread: DedicatedThread) -> None:
        self._settings = settings
        self._thread = thread
        self._producer: Any = None

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all in-sync copies have all of them.

        Raises:
            EventRefused: one is too large.
            TopicGone: a topic is not there any more.
            BrokerError: some or none of them were taken.
            ConfigurationError: the URL has a setting that the client does not take.
        """
        if self._producer is None:
            self._producer = made(client().Producer, self._settings.producer(), self._settings.url)
        publication = Publication(self._producer)
        await self._hand_over(publication, messages)
        seconds = self._settings.timeout + 2  # the client gives up by itself; it looks once a second
        is_over = await self._thread.call(partial(publication.wait, seconds))
        if publication.refused is not None:
            raise self._refusal(messages[publication.refused])
        if publication.error is not None or not is_over:
            raise self._failed(publication, messages)

    async def _hand_over(self, publication: Publication, messages: Sequence[Outgoing]) -> None:
        kafka, produce, answered = client(), publication.producer.produce, publication.answered
        number, until = 0, asyncio.get_running_loop().time() + self._settings.timeout
        try:
            while number < len(messages):
                it = messages[number]
                try:
                    produce(it.topic, it.value, it.key, headers=it.headers, on_delivery=answered)
                except BufferError:  # the producer is full of what others publish
                    if asyncio.get_running_loop().time() > until:
                        raise BrokerUnreachable(self._settings.url, "too much waits to be published") from None
                    await self._thread.call(partial(publication.producer.poll, _ROOM))
                    continue
                number += 1
                if number % _STEP == 0:
                    await asyncio.sleep(0)
        except kafka.KafkaException as raised:
            if error_in(raised).name() not in TOO_LARGE:
                raise failure(self._settings.url, error_in(raised), "publishing") from None
            publication.refused = number
        finally:
            publication.count = number

    def _failed(self, publication: Publication, messages: Sequence[Outgoing]) -> BrokerError:
        self._discard(publication.producer)
        error = publication.error
        if error is None:
            return BrokerUnreachable(self._settings.url, "no answer in time, publishing")
        if error.name() in TOO_LARGE:
            return self._refusal(max(messages, key=lambda each: len(each.value or b"")))
        if error.name() in UNKNOWN_TOPIC:
            return TopicGone(f"{self._settings.url}: a topic is gone: publish again, and it is made anew")
        return failure(self._settings.url, error, "publishing")

    def _refusal(self, message: Outgoing) -> EventRefused:
        size = len(message.value or b"")
        return EventRefused(message.event_id, f"its {size} bytes are more than {self._settings.url} takes (?max_size=)")

    def _discard(self, producer: Any) -> None:
        if self._producer is producer:
            self._producer = None
        producer.purge(blocking=False)
        _ = self._thread.call(partial(_let_go, producer))  # behind those who wait for its answers

    def close(self) -> None:
        """Let go of the connection; what is not answered yet fails."""
        if self._producer is not None:
            self._discard(self._producer)


class TopicGone(BrokerError):
    """A topic was deleted while it was used."""


def _let_go(producer: Any) -> None:
    with contextlib.suppress(Exception):  # it failed before
        producer.close()
