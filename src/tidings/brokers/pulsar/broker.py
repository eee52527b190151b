"""`PulsarBroker`: the carrier of `pulsar://` and `pulsar+ssl://`."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Final

from tidings.brokers.channels import Channels
from tidings.brokers.foreign import Foreign
from tidings.brokers.interface import Arrival, Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.pulsar.administration import Administration
from tidings.brokers.pulsar.inbox import PulsarInbox
from tidings.brokers.pulsar.joining import Joining
from tidings.brokers.pulsar.letters import Letters
from tidings.brokers.pulsar.library import core
from tidings.brokers.pulsar.link import Link
from tidings.brokers.pulsar.names import again_topic_of, topic_of
from tidings.brokers.pulsar.outlet import Outlet
from tidings.brokers.pulsar.settings import settings_of
from tidings.brokers.pulsar.surveying import LISTENING, differences, standings
from tidings.brokers.pulsar.wire import Outgoing, Wire
from tidings.brokers.reaching import obstacle
from tidings.clock import Clock, SystemClock
from tidings.errors import BrokerError, BrokerUnreachable
from tidings.events import Event, new_id

UNTOLD: Final = 0.2  # seconds: the client gathers for half of it
UNWRITTEN: Final = 60.0  # seconds: the server's `managedLedgerCursorPositionFlushSeconds`, where nobody sets it


class PulsarBroker:
    """Pulsar, connected when it is first needed, and again after it was lost.

    Events of one key stay in order however many members a group has: at any time one of them is given a key. Without
    `?admin=` it is not told how much groups have to receive, and that the server keeps what nobody waits for yet is
    not claimed: `setup` sees to it where it is. A member that stands still keeps its keys until the server misses it,
    after once or twice its `keepAliveIntervalSeconds` (30).
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        settings = self._settings = settings_of(url)
        core()  # or its absence is said at once
        self.url = settings.url
        self.capabilities = Capabilities(
            durable=True,
            groups=True,
            replay=settings.has_replay,
            order="channel",
            delay=True,
            dead_letters=True,
            fsync=True,
            max_size=settings.max_size,
            lag=bool(settings.admin),
            acknowledgement="on the disks of as many bookies as the namespace's acknowledgement quorum asks for",
            settlement=f"said to the client, which tells the server within {UNTOLD:g} s, as that does its disk: about"
            f" once a second while more is settled, else within {UNWRITTEN:g} s; some of those before a member, or the"
            " server, was killed may come again",
        )
        self._clock = clock or SystemClock()
        self._channels = channels or Channels()
        self._wire = Wire(settings, Foreign(self.url, self._channels.decoders))
        self._administration = Administration(settings)
        self._link: Link | None = None
        self._outlet: Outlet
        self._letters: Letters

    async def publish(self, events: Sequence[Event]) -> None:
        """Returns when the server has stored them all."""
        messages = [self._wire.outgoing(event, self._topic(event.type)) for event in events]
        if messages:
            self._linked()
            await self._outlet.send(messages)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[PulsarInbox]:
        """Join the subscription of a group; without one, have one that ends with this."""
        link, name = self._linked(), group or LISTENING + new_id()
        joining = Joining(self._settings, link, name, prefetch)
        consumer = await joining.join(self._channels.heard(patterns), start if group else "latest")
        again = again_topic_of(self._settings, name)
        inbox = PulsarInbox(self.url, consumer, self._wire, patterns, prefetch, self._clock, again)
        inbox.send, inbox.bury = self._send, partial(self._bury, name)
        link.join(inbox)
        try:
            yield inbox
        finally:
            link.leave(inbox)
            await inbox.end()
            if link.failed is None:
                with contextlib.suppress(BrokerError):  # it is away: what was to be given back is another's already
                    leaving = consumer.close_async if group else consumer.unsubscribe_async
                    await link.answer("leaving", leaving)

    async def groups(self) -> list[Standing]:
        """The groups of this prefix."""
        dead = Counter(letter.group for letter in await self.letters())
        return await standings(self._settings, self._administration, dead)

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """What the topic of dead letters has."""
        self._linked()
        return await self._letters.read(group)

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Hand it to its group again through a topic that is the group's own, or drop it."""
        self._linked()
        await self._letters.resolve(letter, again=again)

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """The topics of channels, and that the namespace keeps what groups yet to come may want.

        Without `?admin=` what is there is not told; with `apply` the groups are made all the same, by joining each for
        a moment, so that what is published from then on is kept for them.
        """
        if not self._settings.admin and (found := await obstacle(self._settings.address)):
            raise BrokerUnreachable(self.url, found)
        if apply and not self._settings.admin:
            for group, patterns in wanted.groups:
                async with self.subscribe(patterns, group=group):
                    pass  # its subscriptions are there now, and stay
            return []
        return await differences(self._settings, self._administration, self._channels, wanted, apply=apply)

    async def close(self) -> None:
        """Members leave their groups."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _send(self, message: Outgoing) -> None:
        self._linked()
        await self._outlet.send([message])

    async def _bury(self, group: str, arrival: Arrival, reason: str, detail: str) -> None:
        self._linked()
        await self._letters.write(group, arrival, reason, detail)

    def _topic(self, name: str) -> str:
        return topic_of(self._settings, self._channels.of(name))

    def _linked(self) -> Link:
        if self._link is None or self._link.failed is not None:
            self._link = Link(self._settings)
            self._outlet = Outlet(self._settings, self._link)
            self._letters = Letters(self._settings, self._link, self._outlet, self._wire)
        return self._link
