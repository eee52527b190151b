"""`MqttBroker`: the carrier of `mqtt://` and `mqtts://`."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from functools import partial

from tidings.brokers.channels import PARTITIONS, Channels
from tidings.brokers.interface import Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.mqtt import library
from tidings.brokers.mqtt.dialing import Life
from tidings.brokers.mqtt.inbox import MqttInbox
from tidings.brokers.mqtt.link import Link
from tidings.brokers.mqtt.listening import Listening
from tidings.brokers.mqtt.membership import Membership
from tidings.brokers.mqtt.names import filters_of, foreign_filter, shared_filter
from tidings.brokers.mqtt.part import Hearing
from tidings.brokers.mqtt.settings import settings_of
from tidings.brokers.mqtt.surveying import missing_groups
from tidings.brokers.mqtt.wire import Wire
from tidings.clock import Clock
from tidings.errors import BrokerUnreachable, NotSupported
from tidings.events import Event, new_id

_IF_NEW, _NEVER = 1, 2  # when a session is handed what was retained before it


class MqttBroker:
    """An MQTT 5 server, connected when it is first needed.

    Events of one key stay in order, in the partition of their channel that the key belongs to, whose session one member
    of a group has at a time. The server keeps in its sessions what it has for a group, as much of it and as safely as
    it is set up to: Mosquitto needs `persistence true`, and `max_queued_messages 0`, or it drops all above 1000 events.
    MQTT keeps no past, hands nothing over later, and has no place for what a group gave up.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        library.client()  # or its absence is said at once
        self._settings = settings_of(url)
        self.url = self._settings.url
        self.capabilities = Capabilities(
            durable=True,
            groups=True,
            replay=False,
            order="channel",
            delay=False,
            dead_letters=False,
            fsync=False,
            lag=False,
            acknowledgement="in the memory of the server, which writes it down as often as it is set up to",
            settlement="in the memory of the server, which writes it down as often as it is set up to",
        )
        self._channels = channels or Channels()
        self._wire = Wire(self._settings, self._channels)
        self._name = new_id()
        self._publishing = asyncio.Lock()
        self._link: Link | None = None
        self._members: dict[str, Membership | Listening] = {}  # by their names
        self._numbers = itertools.count()  # of names
        self._free_names: list[str] = []  # of members that were, as nobody waits for who comes back as before

    async def publish(self, events: Sequence[Event]) -> None:
        """Returns when the server has acknowledged each."""
        messages = [self._wire.outgoing(event) for event in events]
        if messages:
            await (await self._connected()).send(messages)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[MqttInbox]:
        """Join a group, whose members share out its sessions; without one, have a session that ends with this."""
        name = self._free_names.pop() if self._free_names else self._new_name()
        inbox = MqttInbox(self._wire, patterns, url=self.url, group=group or name, member=name, prefetch=prefetch)
        hearing = partial(self._hearing, self._channels.heard(patterns), group, start)
        member: Membership | Listening
        if group is None:
            member = Listening(self._settings, name, hearing(range(PARTITIONS)), inbox, prefetch)
        else:
            member = Membership(self._settings, group, name, lambda number: hearing([number]), inbox, prefetch)
        self._members[name] = member
        has_joined = False
        try:
            await member.join()
            has_joined = True
            yield inbox
        finally:
            try:
                await member.leave()
            finally:
                member.cut()
                self._members.pop(name, None)
                if has_joined:
                    self._free_names.append(name)

    async def groups(self) -> list[Standing]:
        """MQTT does not tell what waits in a session."""
        raise NotSupported(self.url, "tell how much its groups have still to receive")

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """There are none."""
        raise NotSupported(self.url, "keep dead letters")

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """There are none."""
        raise NotSupported(self.url, "keep dead letters")

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """The sessions of groups; topics need not be made."""
        missing = await missing_groups(self._settings, [group for group, _ in wanted.groups])
        found = []
        for group, patterns in wanted.groups:
            if group in missing:
                found.append(Difference(f"group {group}", "created" if apply else "missing"))
                if apply:
                    async with self.subscribe(patterns, group=group):
                        pass
        return found

    async def close(self) -> None:
        """Drop all connections; what is being published fails."""
        link, self._link = self._link, None
        if link is not None:
            link.cut()
        members, self._members = self._members, {}
        for member in members.values():
            member.cut()

    async def _connected(self) -> Link:
        async with self._publishing:
            if self._link is None or self._link.failure is not None:
                link = Link(self._settings, Life(self._new_name()), lambda message: None, _note)
                await link.open()
                self._link = link
            return self._link

    def _new_name(self) -> str:
        """One that no connection had: one that was cut short may yet come about, and would end its namesake's."""
        return f"{self._name}-{next(self._numbers)}"

    def _hearing(
        self, heard: frozenset[str] | None, group: str | None, start: str, partitions: Sequence[int]
    ) -> Hearing:
        prefix = self._settings.prefix
        foreign = [each for each in sorted(self._channels.decoders) if heard is None or each in heard]
        filters = [foreign_filter(prefix, each) for each in foreign]
        if group is not None:
            filters = [shared_filter(group, each) for each in filters]
        retained = _IF_NEW if group is not None and start == "earliest" else _NEVER
        return Hearing(filters_of(prefix, heard, partitions), filters, retained)


def _note(failure: BrokerUnreachable) -> None:
    """Who publishes next opens another link."""
