"""`RedisPubSub`: Redis publish/subscribe as a carrier. At most once: what nobody hears at that moment is gone."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tidings.brokers.channels import Channels
from tidings.brokers.foreign import Foreign
from tidings.brokers.interface import Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.redis.connecting import connected
from tidings.brokers.redis.hearing import Hearing
from tidings.brokers.redis.link import Answers, checked, library
from tidings.brokers.redis.settings import LARGEST, settings_of
from tidings.brokers.redis.wire import Wire
from tidings.clock import Clock
from tidings.errors import EventRefused, NotSupported
from tidings.events import Event, to_cloudevent

CAPABILITIES: Final = Capabilities(
    durable=False,
    groups=False,
    replay=False,
    order="total",
    delay=False,
    dead_letters=False,
    fsync=False,
    lag=False,
    acknowledgement="the server has handed the event to whoever is connected at that moment; nobody keeps it, and who"
    " is away, reconnects or falls far behind never hears of it",
    settlement="nothing: nobody keeps what was handed over",
)
_AT_ONCE: Final = 500  # events that are packed before the event loop has its turn


class RedisPubSub:
    """A carrier of news that may be missed. A group has no meaning here: each of its members hears everything.

    Its URL may say `prefix` (of every channel), `timeout` and, with `rediss+pubsub://`, `ca`. On the wire an event is
    JSON, as CloudEvents says it; a message has no place for anything beside it.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        library()
        self._settings = settings_of(url)
        self._channels = channels or Channels()
        self._wire = Wire(self._settings)
        self._foreign = Foreign(self._settings.shown, self._channels.decoders)
        self._inboxes: set[Hearing] = set()
        self.url = self._settings.shown
        self.capabilities = CAPABILITIES

    async def publish(self, events: Sequence[Event]) -> None:
        """Hand them to whoever listens."""
        link = await self._wire.link()
        largest = link.largest or LARGEST
        sent: list[Answers] = []
        for first in range(0, len(events), _AT_ONCE):
            some = events[first : first + _AT_ONCE]
            commands = [link.pack(("PUBLISH", self._name(event), _text(event, largest))) for event in some]
            sent.append(link.ask(b"".join(commands), len(commands)))
            await link.drain()
        for answers in sent:
            checked(await link.wait(answers), self.url)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[Hearing]:
        """Hear what comes from now on, on a connection of its own."""
        link = await connected(self._settings)
        inbox = Hearing(link, self._settings, patterns, prefetch, self._foreign)
        self._inboxes.add(inbox)
        try:
            await inbox.begin(self._channels.heard(patterns))
            yield inbox
        finally:
            self._inboxes.discard(inbox)
            await inbox.end()

    async def groups(self) -> list[Standing]:
        """Nobody counts."""
        raise NotSupported(self.url, "say how groups stand: it does not know them")

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """Nothing is kept."""
        raise NotSupported(self.url, "keep dead letters")

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Nothing is kept."""
        raise NotSupported(self.url, "keep dead letters")

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """Channels need not be made: that the server answers is all there is."""
        await self._wire.link()
        return []

    async def close(self) -> None:
        """Let go of all connections."""
        for inbox in list(self._inboxes):
            await inbox.end()
        await self._wire.close()

    def _name(self, event: Event) -> str:
        return self._settings.prefix + self._channels.of(event.type)


def _text(event: Event, largest: int) -> bytes:
    text = to_cloudevent(event)
    if len(text) > largest:
        raise EventRefused(event.id, f"it has {len(text)} bytes, and the server takes {largest}")
    return text
