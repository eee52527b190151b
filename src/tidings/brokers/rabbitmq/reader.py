"""`Reader`: one member's consumer of one queue, on a channel of its own.

A queue of a group has one active consumer; the others wait in line. Closing the channel is what gives a queue back: in
one step the server takes back what was not acknowledged, in order, and turns to the next in line.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tidings.brokers.rabbitmq.channels import Deliveries, why_closed
from tidings.brokers.rabbitmq.library import ContentHeader
from tidings.brokers.rabbitmq.link import Link, end, in_our_words, translated
from tidings.brokers.rabbitmq.message import Received
from tidings.errors import BrokerError


class Reader:
    """What has come from a queue, and what of it is not acknowledged yet."""

    def __init__(
        self, link: Link, number: int, news: Callable[[], None], failed: Callable[[BrokerError], None]
    ) -> None:
        self.number = number  # the partition
        self.is_closed = False
        self.is_yielding = False  # it hands nothing over any more, as the queue is another member's to read
        self.is_active = False  # it is this one that the server delivers to
        self._link = link
        self._news = news
        self._failed = failed
        self._channel: Deliveries | None = None
        self._queue = ""
        self._fetched: deque[Received] = deque()
        self._unacknowledged: dict[int, None] = {}  # in the order of their tags
        self._open: dict[int, None] = {}  # of these, those that were handed over

    @property
    def open_count(self) -> int:
        """How many are handed over and not settled."""
        return len(self._open)

    @property
    def unacknowledged_count(self) -> int:
        """How many the server counts as delivered here."""
        return len(self._unacknowledged)

    async def join(self, queue: Callable[[Deliveries], Awaitable[str]], prefetch: int) -> None:
        """Stand in line for a queue.

        Raises:
            BrokerError: the server refuses.
        """
        url = self._link.settings.url
        channel = self._channel = await self._link.channel(Deliveries)
        channel.closing.add_done_callback(self._lost)
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        try:
            with translated(url):
                async with asyncio.timeout(self._link.settings.timeout):
                    self._queue = await queue(channel)
                    await channel.consume(self._queue, self._delivered, prefetch=prefetch)
        except BaseException:
            await self.leave()  # or it would stand in line for ever, and take what nobody here handles
            raise

    def take(self, room: int) -> list[Received]:
        """Some of what has come."""
        if self.is_yielding or self.is_closed:
            return []
        fetched = self._fetched
        taken = [fetched.popleft() for _ in range(min(room, len(fetched)))]
        for each in taken:
            self._open[each.tag] = None
        return taken

    async def settle(self, tags: Iterable[int] | None) -> None:
        """Acknowledge these, or all that were handed over.

        Raises:
            BrokerError: the connection was lost; they come again.
        """
        done = {tag for tag in tags if tag in self._open} if tags is not None else set(self._open)
        if not done or self._channel is None or self.is_closed:
            return
        upto: int | None = None
        for tag in self._unacknowledged:
            if tag not in done:
                break
            upto = tag
        others = [tag for tag in sorted(done) if upto is None or tag > upto]
        for tag in done:
            del self._unacknowledged[tag], self._open[tag]
        with translated(self._link.settings.url):
            async with asyncio.timeout(self._link.settings.timeout):
                await self._channel.acknowledge(upto, others)

    async def leave(self) -> None:
        """Give the queue back, with all that is not acknowledged."""
        self.is_closed = True
        self._fetched.clear()
        if self._channel is not None:
            await end(self._channel)

    def _delivered(self, frame: Any, header: ContentHeader, body: bytes) -> None:
        properties, tag = header.properties, frame.delivery_tag
        headers = properties.headers or {}
        kind, id = properties.content_type or None, properties.message_id or None
        self._fetched.append(Received(tag, frame.routing_key, headers, kind, body, id, self))
        self._unacknowledged[tag] = None
        self.is_active = True
        self._news()

    def _lost(self, closing: object) -> None:
        if not self.is_closed and self._channel is not None:
            self._failed(in_our_words(self._link.settings.url, why_closed(self._channel)))

    def _cancelled(self, frame: Any) -> None:
        self._failed(BrokerError(f"{self._link.settings.url}: the queue {self._queue!r} was deleted"))
