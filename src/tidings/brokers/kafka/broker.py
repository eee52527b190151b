"""`KafkaBroker`: the carrier of `kafka://`."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial

from tidings.brokers.channels import Channels
from tidings.brokers.foreign import Foreign
from tidings.brokers.interface import Arrival, Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.kafka.failures import closing_told
from tidings.brokers.kafka.groups import standings
from tidings.brokers.kafka.inbox import KafkaInbox
from tidings.brokers.kafka.letters import again_of, letter_of, read_letters, resolution_of
from tidings.brokers.kafka.library import client, reader
from tidings.brokers.kafka.membership import Membership
from tidings.brokers.kafka.names import DEAD, again_topic_of, channel_of, dead_topic_of, topic_of
from tidings.brokers.kafka.outlet import Outlet, TopicGone
from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.topics import Topics
from tidings.brokers.kafka.wire import Outgoing, Wire
from tidings.clock import Clock
from tidings.concurrency import DedicatedThread
from tidings.events import Event


class KafkaBroker:
    """Kafka, connected when it is first needed.

    Events of one key stay in order, in the partition of their channel's topic that the key belongs to; each partition
    is read by one member of a group at a time. Kafka hands nothing over later, so `retry` is not supported.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        client()  # or its absence is said at once
        reader()
        self._settings = settings_of(url)
        self.url = self._settings.url
        self.capabilities = Capabilities(
            durable=True,
            groups=True,
            replay=True,
            order="channel",
            delay=False,
            dead_letters=True,
            fsync=False,
            max_size=self._settings.max_size,
            acknowledgement="in the memory of all in-sync copies, which write it to disk in their own time",
            settlement="committed: as safe as an event that was published",
        )
        self._channels = channels or Channels()
        self._wire = Wire(self._settings, Foreign(self.url, self._channels.decoders))
        self._thread: DedicatedThread | None = None
        self._topics: Topics
        self._outlet: Outlet
        self._members: set[Membership] = set()

    async def publish(self, events: Sequence[Event]) -> None:
        """Returns when every in-sync copy of each partition has them."""
        topics = {name: self._topic(name) for name in {event.type for event in events}}
        await self._send([self._wire.outgoing(event, topics[event.type]) for event in events])

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[KafkaInbox]:
        """Join a group, whose partitions Kafka shares out; without one, read them all from their ends."""
        self._connect()
        heard = self._channels.heard(patterns)
        topics = None if heard is None else frozenset(topic_of(self._settings.prefix, each) for each in heard)
        member = Membership(self._settings, self._topics, group, topics)
        inbox = KafkaInbox(
            member.tray,
            self._wire,
            patterns,
            url=self.url,
            prefetch=prefetch,
            patience=self._settings.patience,
            bury=partial(self._bury, group or ""),
        )
        self._members.add(member)
        try:
            await member.join(start)
            yield inbox
        finally:
            self._members.discard(member)
            await member.leave()

    async def groups(self) -> list[Standing]:
        """The groups of this prefix."""
        self._connect()
        dead = Counter(letter.group for letter in await self.letters())
        return await standings(self._topics, self._settings, dead)

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """What the topics of dead letters have."""
        thread = self._connect()
        prefix, known = self._settings.prefix, await self._topics.all()
        if group is not None:
            wanted = [dead_topic_of(prefix, group)]
        else:
            wanted = sorted(topic for topic in known if topic.startswith(prefix) and topic.endswith(DEAD))
        present = [topic for topic in wanted if topic in known]
        if not present:
            return []
        with closing_told(self.url):
            return await thread.call(partial(read_letters, self._settings, self._wire, present))

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Hand it to its group again through a topic that is the group's own, or drop it; then mark it as decided."""
        if again:
            await self._send([again_of(letter, again_topic_of(self._settings.prefix, letter.group))])
        await self._send([resolution_of(letter)])

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """The topics of channels and groups."""
        self._connect()
        prefix = self._settings.prefix
        channels = sorted({topic_of(prefix, channel) for channel in wanted.channels})
        others = [name(prefix, group) for group, _ in wanted.groups for name in (again_topic_of, dead_topic_of)]
        return await self._topics.differences(channels, others, apply=apply)

    async def close(self) -> None:
        """Members leave their groups; what is being published fails."""
        members, self._members = self._members, set()
        try:
            await asyncio.gather(*(member.leave() for member in members))
        finally:  # also for who has no time to wait for them
            thread, self._thread = self._thread, None
            if thread is not None:
                self._outlet.close()
                self._topics.close()
                thread.close(wait=False)

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        if not messages:
            return
        self._connect()
        await self._topics.exist({message.topic for message in messages})
        try:
            with closing_told(self.url):
                await self._outlet.send(messages)
        except TopicGone:
            self._topics.forget()
            raise

    async def _bury(self, group: str, arrival: Arrival, reason: str, detail: str) -> None:
        prefix = self._settings.prefix
        topic = arrival.ticket.topic
        channel = channel_of(prefix, topic) or topic
        await self._send([letter_of(arrival, dead_topic_of(prefix, group), group, reason, detail, channel)])

    def _topic(self, name: str) -> str:
        return topic_of(self._settings.prefix, self._channels.of(name))

    def _connect(self) -> DedicatedThread:
        if self._thread is None:
            self._thread = DedicatedThread("tidings-kafka")
            self._topics = Topics(self._settings, self._thread)
            self._outlet = Outlet(self._settings, self._thread)
        return self._thread
