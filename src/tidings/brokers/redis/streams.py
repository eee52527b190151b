"""`RedisBroker`: Redis Streams as a carrier.

A channel is so many streams, its partitions; a key's events stand in one of them. A stream is read by one member of a
group at a time, who first has what another left unsettled there, so that order by key is kept however many there are.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tidings.brokers.channels import Channels
from tidings.brokers.foreign import Foreign
from tidings.brokers.interface import Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.redis.connecting import connected
from tidings.brokers.redis.entries import Entries
from tidings.brokers.redis.forgetting import FORGET
from tidings.brokers.redis.inbox import StreamInbox
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.letters import RESOLVE, read_letters
from tidings.brokers.redis.link import library
from tidings.brokers.redis.listener import Listener
from tidings.brokers.redis.publishing import Publishing
from tidings.brokers.redis.settings import settings_of
from tidings.brokers.redis.standing import standings
from tidings.brokers.redis.surveying import survey
from tidings.brokers.redis.wire import Wire
from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.events import Event

CAPABILITIES: Final = Capabilities(
    durable=True,
    groups=True,
    replay=True,
    order="channel",
    delay=True,
    dead_letters=True,
    fsync=True,
    forgets=True,
    acknowledgement="on disk where the server says `appendonly yes` and `appendfsync always`; with `everysec` the last"
    " second may be lost with the machine, without an append-only file whatever came since its last snapshot",
    settlement="taken by the server: as safe as an event that was published",
)


class RedisBroker:
    """A carrier between services that share a Redis server, of version 7 or newer; not a cluster.

    Its URL may say `prefix` (of every key), `partitions` (of a channel that is new: 8), `session` (seconds after which
    a silent member is replaced: 2), `retain` (`7d`, or so many entries of a partition; else all are kept),
    `orphan_after` (how long `retain` waits for a group that nobody runs: 7d), `timeout` (seconds without an answer: 5)
    and, with `rediss://`, `ca` (the file of the authority).

    Leases, signs of life and what is due later go by the server's clock, so it has no use for another.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        library()
        self._settings = settings_of(url, "partitions", "session", "retain", "orphan_after")
        self._channels = channels or Channels()
        self._keys = Keys(self._settings.prefix)
        self._wire = Wire(self._settings)
        self._signs = Wire(self._settings)  # of life: they must not wait behind a large publish
        self._entries = Entries(Foreign(self._settings.shown, self._channels.decoders))
        self._publishing = Publishing(self._wire, self._keys, self._channels)
        self._inboxes: set[StreamInbox | Listener] = set()
        self.url = self._settings.shown
        self.capabilities = CAPABILITIES

    async def publish(self, events: Sequence[Event]) -> None:
        """Add each to the stream of its key; all are on their way before the first is waited for."""
        await self._publishing.publish(events)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[StreamInbox | Listener]:
        """Join a group on a connection of its own; without one, listen."""
        heard = self._channels.heard(patterns)
        link = await connected(self._settings)
        inbox: StreamInbox | Listener
        if group is None:
            inbox = Listener(link, self._wire, self._keys, heard, patterns, prefetch, self._entries)
        else:
            wires = (self._wire, self._signs)
            inbox = StreamInbox(link, *wires, self._keys, group, heard, patterns, prefetch, self._entries)
        self._inboxes.add(inbox)
        try:
            await inbox.begin(start)
            yield inbox
        finally:
            await asyncio.shield(self._end(inbox))

    async def groups(self) -> list[Standing]:
        """What the server counts of each group's streams."""
        return await standings(self._wire, self._keys)

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """What stands in the groups' streams of dead letters."""
        return await read_letters(self._wire, self._keys, self._entries, group)

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Move it to the stream of what its group is to have again, or delete it."""
        await self._wire.run(RESOLVE, letter.group, letter.ticket, "again" if again else "drop")

    async def forget(self, group: str) -> None:
        """Remove it from all streams, with what it is to have again and its dead letters."""
        if await self._wire.run(FORGET, group):
            raise ConfigurationError(f"members of {group} are alive at {self.url}: stop its application first")

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """The channels and groups, and what the server's own settings are worth."""
        return await survey(self._wire, self._keys, self._channels, wanted, apply=apply)

    async def close(self) -> None:
        """Leave all groups, and let go of all connections."""
        for inbox in list(self._inboxes):
            await self._end(inbox)
        await self._signs.close()
        await self._wire.close()

    async def _end(self, inbox: StreamInbox | Listener) -> None:
        self._inboxes.discard(inbox)
        try:
            await inbox.end()
        finally:
            await inbox.link.close()
