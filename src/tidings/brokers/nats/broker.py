"""`JetStreamBroker`: a NATS server that keeps what it carries."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tidings.brokers.channels import Channels
from tidings.brokers.interface import Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.nats.carrier import Carrier
from tidings.brokers.nats.inbox import GroupInbox
from tidings.brokers.nats.listener import Listener
from tidings.brokers.nats.publishing import Publishing
from tidings.brokers.nats.setting_up import SettingUp
from tidings.brokers.nats.settings import settings_of
from tidings.brokers.nats.standing import Survey
from tidings.clock import Clock
from tidings.events import Event

UNWRITTEN: Final = 1.0  # seconds after which a server has written down, too, what it answered
CAPABILITIES: Final = Capabilities(
    durable=True,
    groups=True,
    replay=True,
    order="channel",
    delay=True,
    dead_letters=True,
    fsync=False,
    acknowledgement="in the server's stream: it survives the server's end; what a loss of power takes is what the"
    " server had not synced, in the last two minutes by its default",
    settlement=f"answered by the server, which writes it down a moment later: some of the last {UNWRITTEN:g} s before"
    " it was killed may come again",
)


class JetStreamBroker:
    """A carrier on JetStream: a channel is a stream, and each group has a durable consumer of each of its partitions.

    A partition is handed to one member of a group at a time, so that events of one key stay in order.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        settings = settings_of(url)
        self.url = settings.shown
        self.capabilities = CAPABILITIES
        self._carrier = Carrier(settings, channels or Channels())
        self._publishing = Publishing(self._carrier)

    async def publish(self, events: Sequence[Event]) -> None:
        """Into the streams of their channels; what is there already, within the stream's window, is dropped there."""
        if events:
            await self._publishing.publish(events)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[GroupInbox | Listener]:
        """Join a group, which has durable consumers; without one they are ephemeral."""
        self._carrier.streams.forget()  # whoever subscribes anew may do so as a stream was removed
        link, heard = await self._carrier.wire.link(), self._carrier.channels.heard(patterns)
        inbox: GroupInbox | Listener
        if group is None:
            inbox = Listener(self._carrier, link, heard, patterns, prefetch)
        else:
            inbox = GroupInbox(self._carrier, link, group, heard, patterns, prefetch)
        try:
            await inbox.begin(start)
            yield inbox
        finally:
            await inbox.end()

    async def groups(self) -> list[Standing]:
        """Every group with a consumer."""
        return await Survey(self._carrier).groups()

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """What the stream of dead letters has."""
        return await self._carrier.letters.listed(group, self._carrier.reading)

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Publish it to its group alone, or drop it."""
        await self._carrier.letters.resolve(letter, again=again)

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """Streams of channels and consumers of groups, which hear from then on."""
        return await SettingUp(self._carrier, apply=apply).differences(wanted)

    async def close(self) -> None:
        """Close the connection, under whoever uses it."""
        await self._carrier.wire.close()
