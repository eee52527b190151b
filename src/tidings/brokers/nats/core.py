"""`CoreBroker`: a NATS server without JetStream. At most once: what nobody hears at that moment is gone."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tidings.brokers.channels import Channels
from tidings.brokers.interface import Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.nats.greeting import connected
from tidings.brokers.nats.hearing import Hearing
from tidings.brokers.nats.messages import Reading, written
from tidings.brokers.nats.names import Names
from tidings.brokers.nats.settings import settings_of
from tidings.brokers.nats.wire import Wire, command
from tidings.clock import Clock
from tidings.errors import EventRefused, NotSupported
from tidings.events import Event

CAPABILITIES: Final = Capabilities(
    durable=False,
    groups=True,
    replay=False,
    order="none",
    delay=False,
    dead_letters=False,
    fsync=False,
    lag=False,
    remembers=False,
    acknowledgement="the server has read the event, and hands it to one member of each group that is connected at that"
    " moment; nobody keeps it, and who is away or falls far behind never hears of it",
    settlement="nothing: nobody keeps what was handed over",
)
_AT_ONCE: Final = 500  # events that are written before the server is waited for


class CoreBroker:
    """A carrier of news that may be missed: `nats://...?jetstream=no`. A group is a queue group of the server's.

    Whichever member of a group it gives an event to, nobody gets that event again.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        self._settings = settings_of(url)
        self._wire = Wire(self._settings)
        self._names = Names(self._settings.prefix)
        self._channels = channels or Channels()
        self._reading = Reading(self._settings.shown, self._channels)
        self._inboxes: set[Hearing] = set()
        self.url = self._settings.shown
        self.capabilities = CAPABILITIES

    async def publish(self, events: Sequence[Event]) -> None:
        """Hand them to the server; returns when it has read them."""
        link = await self._wire.link()
        most = link.info.get("max_payload", 0)
        for first in range(0, len(events), _AT_ONCE):
            link.send(b"".join([self._command(event, most) for event in events[first : first + _AT_ONCE]]))
            await link.drain()
        await link.flushed()

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[Hearing]:
        """Hear what comes from now on, on a connection of its own; in a group it is one of its members that does."""
        heard = self._channels.heard(patterns)
        subjects = [self._names.every_channel()]
        if heard is not None:
            subjects = [self._names.partition(channel, "*") for channel in sorted(heard)]
        inbox = Hearing(await connected(self._settings), self._reading, self._names, patterns, prefetch)
        self._inboxes.add(inbox)
        try:
            await inbox.begin(subjects, group)
            yield inbox
        finally:
            self._inboxes.discard(inbox)
            inbox.end()

    async def groups(self) -> list[Standing]:
        """It knows of none."""
        raise NotSupported(self.url, "say what a group has still to receive")

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """It keeps nothing."""
        raise NotSupported(self.url, "keep dead letters")

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """It keeps nothing."""
        raise NotSupported(self.url, "keep dead letters")

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """Subjects need not be made: that the server answers is all there is."""
        await (await self._wire.link()).flushed()
        return []

    async def close(self) -> None:
        """Close the connection, and those of inboxes."""
        await self._wire.close()
        for inbox in list(self._inboxes):
            inbox.end()

    def _command(self, event: Event, most: int) -> bytes:
        subject = self._names.subject(self._channels.of(event.type), 0, event.type)
        head, data = written(event)
        if most and len(head) + len(data) > most:
            told = f"with its headers it has {len(head) + len(data)} bytes, and the server takes {most}"
            raise EventRefused(event.id, told)
        return command(subject.encode(), data, head=head)
