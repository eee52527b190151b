"""`Membership`: who is alive in a group, and so whose turn each partition is.

Members tell each other that they are there, through an exchange that keeps nothing. Who is active in a queue is up to
the server alone, so nothing is ever handled twice because members disagree; they only decide who gives a queue back.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

import msgspec

from tidings.brokers.rabbitmq.channels import Deliveries
from tidings.brokers.rabbitmq.library import ContentHeader, Properties, aiormq
from tidings.brokers.rabbitmq.link import Link, end, translated
from tidings.brokers.rota import turns
from tidings.events import new_id

_PASSING: Final = Properties(delivery_mode=1)
_MOMENT: Final = 0.5  # seconds in which a sign of life is given, or not


class Sign(msgspec.Struct, frozen=True):
    """A member's sign of life."""

    group: str
    member: str
    unsettled: int = 0  # events it was delivered and has not acknowledged
    is_leaving: bool = False
    is_question: bool = False  # somebody wants to hear from all members now


class Presence:
    """The signs of life of some groups: heard on one connection, given on the other.

    A server that is short of memory stops those connections that publish, and who receives has to go on then.
    """

    def __init__(self, receiving: Link, publishing: Link, exchange: str, heard: Callable[[Sign], None]) -> None:
        self._receiving = receiving
        self._publishing = publishing
        self._exchange = exchange
        self._heard = heard
        self._ear: Deliveries | None = None
        self._mouth: aiormq.Channel | None = None

    async def begin(self, groups: Sequence[str]) -> None:
        """Listen from now on.

        Raises:
            BrokerError: the server refuses.
        """
        channel = self._ear = await self._receiving.channel(Deliveries)
        with translated(self._receiving.settings.url):
            async with asyncio.timeout(self._receiving.settings.timeout):
                declared = await channel.queue_declare(exclusive=True, auto_delete=True)
                for group in groups:
                    await channel.queue_bind(str(declared.queue), self._exchange, group)
                await channel.consume(str(declared.queue), self._delivered, prefetch=0, no_ack=True)

    async def check(self) -> None:
        """See whether the connection still works.

        Raises:
            BrokerError: it was lost, or the server says nothing.
        """
        if self._ear is not None:
            with translated(self._receiving.settings.url):
                await self._ear.basic_qos(prefetch_count=0, timeout=self._receiving.settings.timeout)

    async def say(self, sign: Sign) -> None:
        """Have a sign of life heard, if that is possible now: who publishes is told by others when it is not."""
        with contextlib.suppress(Exception):
            if self._mouth is None or self._mouth.is_closed:
                self._mouth = await self._publishing.channel(Deliveries)
            body, key = msgspec.json.encode(sign), sign.group
            await self._mouth.basic_publish(
                body, exchange=self._exchange, routing_key=key, properties=_PASSING, timeout=_MOMENT, wait=False
            )

    async def end(self) -> None:
        """Neither listen nor speak any more."""
        await asyncio.gather(*(end(channel) for channel in (self._ear, self._mouth) if channel is not None))

    def _delivered(self, frame: Any, header: ContentHeader, body: bytes) -> None:
        try:
            sign = msgspec.json.decode(body, type=Sign)
        except msgspec.DecodeError:
            return  # not one of ours
        self._heard(sign)


class Membership:
    """A member's knowledge of its group."""

    def __init__(self, receiving: Link, publishing: Link, exchange: str, group: str, asked: Callable[[], None]) -> None:
        self._session = receiving.settings.session
        self._group = group
        self._member = new_id()  # such ids sort by when they were made
        self._asked = asked
        self._presence = Presence(receiving, publishing, exchange, self._heard)
        self._seen: dict[str, float] = {}

    async def join(self) -> None:
        """Begin to hear the others.

        Raises:
            BrokerError: the server refuses.
        """
        await self._presence.begin([self._group])

    async def beat(self, unsettled: int) -> None:
        """Show that this member is there, and see whether the server is.

        Raises:
            BrokerError: it says nothing, or the connection was lost.
        """
        await self._presence.say(Sign(self._group, self._member, unsettled))
        await self._presence.check()

    def turns(self, partitions: int) -> set[int]:
        """The partitions that are this member's."""
        oldest = monotonic() - self._session
        self._seen = {name: at for name, at in self._seen.items() if at >= oldest}
        owners = dealt(partitions, sorted(self._seen.keys() | {self._member}))
        return {number for number, owner in owners.items() if owner == self._member}

    async def leave(self) -> None:
        """Say goodbye, and hear nothing any more."""
        await self._presence.say(Sign(self._group, self._member, is_leaving=True))
        await self._presence.end()

    def _heard(self, sign: Sign) -> None:
        if sign.is_question:
            self._asked()
        elif sign.is_leaving:
            self._seen.pop(sign.member, None)
        else:
            self._seen[sign.member] = monotonic()


def dealt(partitions: int, members: Sequence[str]) -> dict[int, str | None]:
    """Who reads which partition, given the members in the order in which they joined.

    They are dealt out as if each had come while the others were there: who comes takes only its own share.
    """
    owners: dict[int, str | None] = dict.fromkeys(range(partitions))
    for count in range(1, len(members) + 1):
        alive = members[:count]
        for member in alive:
            mine = turns(owners, alive, member)
            owners = {
                number: member if number in mine else (None if owner == member else owner)
                for number, owner in owners.items()
            }
    return owners
