"""What stands on the server: exchanges, a group's queues and what they are bound to; and how many partitions it has.

The number of partitions has to be the same for everybody, and RabbitMQ keeps no settings. So it is the `x-max-length`
of an empty queue: who declares it first decides, and everybody else is told in the server's refusal.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from tidings.brokers.channels import Channels
from tidings.brokers.interface import Difference, Wanted
from tidings.brokers.rabbitmq.channels import Confirmed, Parcel
from tidings.brokers.rabbitmq.library import Properties, aiormq
from tidings.brokers.rabbitmq.link import Link, end, translated
from tidings.brokers.rabbitmq.message import GROUP, STEP
from tidings.brokers.rabbitmq.names import (
    EVENTS,
    GROUPS,
    LATER,
    PARTITIONS,
    PRESENCE,
    binding_keys,
    channel_binding,
    dead_of,
    later_of,
    queue_of,
)
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError

QUORUM: Final[dict[str, Any]] = {"x-queue-type": "quorum", "x-delivery-limit": 2_000_000_000}  # 4.0 drops after 20
_ONE_AT_A_TIME: Final = {"x-single-active-consumer": True}
_CURRENT: Final = re.compile(r"current is '?(\d+)")


class Topology:
    """What is on one server under one prefix, as far as this connection has seen it."""

    def __init__(self, link: Link, channels: Channels) -> None:
        self._link = link
        self._channels = channels
        self._prefix = link.settings.prefix
        self._url = link.settings.url
        self._steps: set[str] = set()
        self.partitions: int | None = None  # once it is known

    @property
    def events(self) -> str:
        """The exchange of all events."""
        return self._prefix + EVENTS

    @property
    def later(self) -> str:
        """The exchange of what is to be handed over later."""
        return self._prefix + LATER

    @property
    def presence(self) -> str:
        """The exchange of signs of life."""
        return self._prefix + PRESENCE

    async def known(self) -> int:
        """How many partitions there are; exchanges are declared when that is asked first.

        Raises:
            BrokerError: the server did not say.
        """
        if self.partitions is None:
            async with self._link.talking() as channel:
                await channel.exchange_declare(self.events, exchange_type="topic", durable=True)
                await channel.exchange_declare(self.later, exchange_type="headers", durable=True)
                await channel.exchange_declare(self.presence, exchange_type="direct", durable=True)
                await channel.queue_declare(self._prefix + GROUPS, durable=True, arguments=QUORUM)
            self.partitions = await self._link.undisturbed(self._decided())
        return self.partitions

    def forget(self) -> None:
        """Look again: the server may have lost what it had."""
        self.partitions = None
        self._steps.clear()

    async def found(self, group: str, patterns: Sequence[str]) -> list[str]:
        """The queues of a group, which hear these patterns from now on.

        Raises:
            BrokerError: the server refused them.
        """
        count = await self.known()
        queues = [queue_of(self._prefix, group, number) for number in range(count)]
        if not await self._link.undisturbed(self._exists(queues[-1])):
            await self._register(group)
        arguments = QUORUM | _ONE_AT_A_TIME
        async with self._link.talking(patience=1 + count / 4) as channel:
            await channel.queue_declare(dead_of(self._prefix, group), durable=True, arguments=QUORUM)
            for number, queue in enumerate(queues):
                await channel.queue_declare(queue, durable=True, arguments=arguments)
                for key in self._keys(number, patterns):
                    await channel.queue_bind(queue, self.events, key)
        return queues

    async def passing(self, channel: aiormq.Channel, patterns: Sequence[str]) -> str:
        """A queue that goes when its channel does."""
        with translated(self._url):
            declared = await channel.queue_declare(exclusive=True, auto_delete=True)
            queue = str(declared.queue)
            for key in self._keys("*", patterns):
                await channel.queue_bind(queue, self.events, key)
        return queue

    async def waiting(self, group: str, step: int) -> None:
        """See to it that a group's messages can wait so many milliseconds."""
        queue = later_of(self._prefix, group, step)
        if queue in self._steps:
            return
        arguments = QUORUM | {
            "x-message-ttl": step,
            "x-dead-letter-exchange": "",  # with its own routing key, which is the queue it belongs to
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        async with self._link.talking() as channel:
            await channel.queue_declare(queue, durable=True, arguments=arguments)
            await channel.queue_bind(queue, self.later, "", arguments={"x-match": "all", GROUP: group, STEP: step})
        self._steps.add(queue)

    async def differences(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """What is missing, or was created, and what is there in another form."""
        found = await self._of_partitions(apply=apply)
        if self.partitions is None:
            return found + [Difference(f"group {group}", "missing") for group, _ in wanted.groups]
        for group, patterns in wanted.groups:
            found += await self._of_group(group, patterns, self.partitions, apply=apply)
        return found

    async def _of_group(self, group: str, patterns: Sequence[str], count: int, *, apply: bool) -> list[Difference]:
        what, queues = f"group {group}", [queue_of(self._prefix, group, number) for number in range(count)]
        is_there = all(
            [await self._link.undisturbed(self._exists(each)) for each in [*queues, dead_of(self._prefix, group)]]
        )
        if apply:
            try:
                await self.found(group, patterns)
            except BrokerUnreachable:
                raise
            except BrokerError as refusal:
                return [Difference(what, "differs", str(refusal))]
        return [] if is_there else [Difference(what, "created" if apply else "missing", f"{len(queues)} queues")]

    async def _of_partitions(self, *, apply: bool) -> list[Difference]:
        asked, what = self._link.settings.partitions, f"exchange {self.events}"
        was_there = await self._link.undisturbed(self._exists(self._prefix + PARTITIONS))
        if not was_there and not apply:
            return [Difference(what, "missing", f"{asked} partitions")]
        count = await self.known()
        if not was_there:
            return [Difference(what, "created", f"{count} partitions")]
        told = f"{asked} partitions wanted, {count} found: a key would change its partition, so this is left as it is"
        return [Difference(what, "differs", told)] if count != asked else []

    async def _decided(self) -> int:
        asked, name = self._link.settings.partitions, self._prefix + PARTITIONS
        channel = await self._link.channel(aiormq.Channel)
        try:
            await channel.queue_declare(name, durable=True, arguments=QUORUM | {"x-max-length": asked})
        except aiormq.exceptions.ChannelPreconditionFailed as refusal:
            found = _CURRENT.search(str(refusal))
            if found is None:
                raise ConfigurationError(f"{self._url}: queue {name!r} is not one that tidings made") from None
            return int(found[1])
        except Exception as error:
            with translated(self._url):
                raise error
        finally:
            await end(channel)
        return asked

    async def _exists(self, queue: str) -> bool:
        channel = await self._link.channel(aiormq.Channel)
        try:
            with translated(self._url):
                try:
                    await channel.queue_declare(queue, passive=True)
                except aiormq.exceptions.ChannelNotFoundEntity:
                    return False
                return True
        finally:
            await end(channel)

    async def _register(self, group: str) -> None:
        """Before the group has a queue, so that none is there which nobody knows of."""
        channel = await self._link.channel(Confirmed, confirms=True)
        try:
            with translated(self._url):
                properties = Properties(delivery_mode=2)
                await channel.publish([Parcel(self._prefix + GROUPS, properties, group.encode(), "", mandatory=True)])
        finally:
            await end(channel)

    def _keys(self, partition: int | str, patterns: Sequence[str]) -> list[str]:
        keys = {key for pattern in patterns for key in binding_keys(partition, pattern)}
        heard = self._channels.heard(patterns)
        decoded = [each for each in self._channels.decoders if heard is None or each in heard]
        return sorted(keys | {channel_binding(partition, each) for each in decoded})
