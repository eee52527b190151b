"""Publishing: a producer a topic, and many messages on their way at a time.

Messages are not put together in batches: a batch is acknowledged as a whole by servers that are not told otherwise, so
what was settled would come again with what was not.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, Final

from tidings.brokers.pulsar.failures import AWAY, failure
from tidings.brokers.pulsar.library import core
from tidings.brokers.pulsar.link import Link, let_go
from tidings.brokers.pulsar.settings import Settings
from tidings.brokers.pulsar.wire import Outgoing
from tidings.errors import BrokerError, BrokerUnreachable, EventRefused

_PART: Final = 250  # messages that are handed to the client without a pause
_PARTS: Final = 8  # on their way at a time: what waits longer in the client than `timeout` is given up by it


class Outlet:
    """The producers of one link."""

    def __init__(self, settings: Settings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._room = asyncio.Semaphore(_PARTS)
        self._producers: dict[str, asyncio.Task[Any]] = {}

    async def send(self, messages: Sequence[Outgoing]) -> list[Any]:
        """Returns the ids of the messages when all are stored.

        Raises:
            EventRefused: one is too large for the server.
            BrokerError: some or none were stored.
        """
        producers = {topic: await self._producer(topic) for topic in {each.topic: None for each in messages}}
        parts: list[_Part] = []
        for start in range(0, len(messages), _PART):
            await self._room.acquire()
            if any(part.wrong for part in parts):
                self._room.release()
                break
            part = _Part(messages[start : start + _PART], self._room)
            part.send(producers)
            parts.append(part)
            await asyncio.sleep(0)
        for part in parts:
            await self._sent(part)
        return [id for part in parts for id in part.ids]

    async def _sent(self, part: "_Part") -> None:
        try:
            async with asyncio.timeout(2 * self._settings.timeout + 1):  # the client gives up before
                await part.finished
        except TimeoutError:
            error = BrokerUnreachable(self._settings.url, "its client says nothing more while publishing")
            self._link.fail(error)
            raise error from None
        for message, result in part.wrong:
            if result.name == "MessageTooBig":
                raise EventRefused(message.event_id, "it is too large for the server, whose limit is maxMessageSize")
        if part.wrong:
            raise self._given_up(*part.wrong[0])

    def _given_up(self, message: Outgoing, result: Any) -> BrokerError:
        error = failure(self._settings.url, result, "publishing")
        making = self._producers.pop(message.topic, None)
        if making is not None:
            let_go(making.result())
        if result.name in AWAY:
            self._link.fail(error)
        return error

    async def _producer(self, topic: str) -> Any:
        making = self._producers.get(topic)
        if making is None or (making.done() and (making.cancelled() or making.exception() is not None)):
            making = self._producers[topic] = asyncio.create_task(self._make(topic))
            making.add_done_callback(_looked_at)
        return await asyncio.shield(making)

    async def _make(self, topic: str) -> Any:
        pulsar = core()
        configuration = pulsar.ProducerConfiguration()
        configuration.send_timeout_millis(max(int(self._settings.timeout * 1000), 1))
        configuration.max_pending_messages(0)  # no limit: there is one above
        configuration.batching_enabled(False)
        try:
            doing = f"opening the topic {topic!r}"
            return await self._link.answer(doing, self._link.client.create_producer_async, topic, configuration)
        except BrokerUnreachable as error:
            self._link.fail(error)
            raise


def _looked_at(making: "asyncio.Task[Any]") -> None:
    """Who waited for it may have been cancelled; then nobody else looks at its failure."""
    if not making.cancelled():
        making.exception()


class _Part:
    """Some messages, and what became of them, which the client tells of each by itself, on its thread or on ours."""

    def __init__(self, messages: Sequence[Outgoing], room: asyncio.Semaphore) -> None:
        self.wrong: list[tuple[Outgoing, Any]] = []
        self.ids: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self._loop.create_future()
        self._messages = messages
        self._room = room
        self._told = count(1)  # counts also where two threads tell at a time

    def send(self, producers: dict[str, Any]) -> None:
        made = [(message, _built(message)) for message in self._messages]
        for message, built in made:
            producers[message.topic].send_async(built, partial(self._tell, message))

    def _tell(self, message: Outgoing, result: Any, id: Any) -> None:
        if result.name != "Ok":
            self.wrong.append((message, result))
        else:
            self.ids.append(id)
        if next(self._told) == len(self._messages):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self._room.release()
        if not self.finished.done():
            self.finished.set_result(None)


def _built(message: Outgoing) -> Any:
    builder = core().MessageBuilder()
    builder.content(message.data)
    builder.properties(message.properties)
    if message.key:
        builder.partition_key(message.key)
    if message.delay > 0:
        builder.deliver_after(timedelta(seconds=message.delay))
    return builder.build()
