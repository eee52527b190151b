"""Looking at all that lies in a queue, without taking it away.

AMQP knows only consuming and giving back, so that two who look at a time would each see a part. So one looks at a time:
who has declared an exclusive queue of a certain name, which the server takes back when that connection ends.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from tidings.brokers.rabbitmq.channels import Deliveries
from tidings.brokers.rabbitmq.library import ContentHeader, aiormq
from tidings.brokers.rabbitmq.link import Link, end, translated
from tidings.brokers.rabbitmq.message import Received
from tidings.errors import BrokerUnreachable

_LOCK: Final = "browsing"
_MOST: Final = 10_000  # messages that are looked at
_PATIENCE: Final = 0.02


class Look:
    """What lies in a queue, oldest first; what is not taken away stays where it was."""

    def __init__(self, channel: Deliveries, found: list[Received]) -> None:
        self.found = found
        self._channel = channel
        self.taken = 0

    async def take(self, received: Received) -> None:
        """Take this one away."""
        await self._channel.acknowledge(None, [received.tag])
        self.taken += 1


class Browser:
    """Looks into queues, one after the other."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def looking(self, queue: str) -> AsyncIterator[Look]:
        """Nobody else looks meanwhile. A queue that is not there has nothing.

        Raises:
            BrokerError: the server did not say, or another took too long.
        """
        async with self._lock, self._locked():
            channel = await self._link.channel(Deliveries)
            look = Look(channel, [])
            count = 0
            try:
                with translated(self._link.settings.url):
                    try:
                        count = min(await count_of(channel, queue), _MOST)
                        if count:
                            await self._fetch(channel, queue, count, look.found)
                    except aiormq.exceptions.ChannelNotFoundEntity:
                        look.found.clear()
                    yield look
            finally:
                await end(channel)
                await self._given_back(queue, count - look.taken)

    async def counts(self, queues: Sequence[str]) -> list[tuple[int, int]]:
        """How many messages lie in each, and how many consumers it has; nothing and nobody where it is not there."""
        found: list[tuple[int, int]] = []
        while len(found) < len(queues):
            found += await self._link.undisturbed(self._counted(queues[len(found) :]))
        return found

    async def _counted(self, queues: Sequence[str]) -> list[tuple[int, int]]:
        """The first of them, up to one that is not there, as that ends the channel."""
        found: list[tuple[int, int]] = []
        channel = await self._link.channel(aiormq.Channel)
        try:
            with translated(self._link.settings.url):
                for queue in queues:
                    try:
                        declared = await channel.queue_declare(queue, passive=True)
                    except aiormq.exceptions.ChannelNotFoundEntity:
                        return [*found, (0, 0)]
                    found.append((declared.message_count or 0, declared.consumer_count or 0))
            return found
        finally:
            await end(channel)

    async def _fetch(self, channel: Deliveries, queue: str, count: int, found: list[Received]) -> None:
        complete = asyncio.Event()

        def delivered(frame: Any, header: ContentHeader, body: bytes) -> None:
            properties = header.properties
            kind, id = properties.content_type or None, properties.message_id or None
            found.append(Received(frame.delivery_tag, frame.routing_key, properties.headers or {}, kind, body, id))
            if len(found) >= count:
                complete.set()

        await channel.consume(queue, delivered, prefetch=count)
        async with asyncio.timeout(self._link.settings.timeout):
            await complete.wait()

    async def _given_back(self, queue: str, count: int) -> None:
        """What was looked at is there again a moment later; the next who looks must not come before."""
        if count <= 0:
            return
        with contextlib.suppress(Exception):
            async with self._link.talking() as channel:
                while await count_of(channel, queue) < count:  # noqa: ASYNC110  # the server tells nobody of it
                    await asyncio.sleep(_PATIENCE)

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        name, timeout = self._link.settings.prefix + _LOCK, self._link.settings.timeout
        try:
            async with asyncio.timeout(timeout):
                while not await self._link.undisturbed(self._is_declared(name)):  # noqa: ASYNC110  # the server lets nobody wait for it
                    await asyncio.sleep(_PATIENCE)
        except TimeoutError:
            raise BrokerUnreachable(self._link.settings.url, f"somebody else has looked for {timeout:g} s") from None
        try:
            yield
        finally:
            with contextlib.suppress(Exception):
                async with self._link.talking() as channel:
                    await channel.queue_delete(name)

    async def _is_declared(self, name: str) -> bool:
        channel = await self._link.channel(aiormq.Channel)
        try:
            with translated(self._link.settings.url):
                try:
                    await channel.queue_declare(name, exclusive=True)
                except aiormq.exceptions.ChannelLockedResource:
                    return False
                return True
        finally:
            await end(channel)


async def count_of(channel: aiormq.Channel, queue: str) -> int:
    """How many messages lie ready in a queue."""
    declared = await channel.queue_declare(queue, passive=True)
    return declared.message_count or 0
