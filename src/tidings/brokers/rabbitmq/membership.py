"""`Membership`: who is alive in a group, and so whose turn each partition is.

Members tell each other that they are there, through an exchange that keeps nothing. Who is active in a queue is up to
the server alone, so nothing is ever handled twice because members disagree; they only decide who gives a queue back. A
member that hears its own sign of life knows that the connection works.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tidings.brokers.rabbitmq.channels import Deliveries
from tidings.brokers.rabbitmq.library import ContentHeader, Properties
from tidings.brokers.rabbitmq.link import Link, end, translated
from tidings.brokers.rota import turns
from tidings.clock import Clock
from tidings.errors import BrokerUnreachable

_PASSING: Final = Properties(delivery_mode=1)


class Sign(msgspec.Struct, frozen=True):
    """A member's sign of life."""

    group: str
    member: str
    unsettled: int = 0  # events it was delivered and has not acknowledged
    is_leaving: bool = False
    is_question: bool = False  # somebody wants to hear from all members now


class Listening:
    """Hears the signs of life of some groups."""

    def __init__(self, link: Link, exchange: str, heard: Callable[[Sign], None]) -> None:
        self._link = link
        self._exchange = exchange
        self._heard = heard
        self._channel: Deliveries | None = None

    async def begin(self, groups: Sequence[str]) -> None:
        """Listen from now on.

        Raises:
            BrokerError: the server refuses.
        """
        channel = self._channel = await self._link.channel(Deliveries)
        with translated(self._link.settings.url):
            declared = await channel.queue_declare(exclusive=True, auto_delete=True)
            for group in groups:
                await channel.queue_bind(str(declared.queue), self._exchange, group)
            await channel.consume(str(declared.queue), self._delivered, prefetch=0, no_ack=True)

    async def say(self, sign: Sign) -> None:
        """Have a sign of life heard.

        Raises:
            BrokerError: the connection was lost.
        """
        if self._channel is not None:
            with translated(self._link.settings.url):
                body, channel = msgspec.json.encode(sign), self._channel
                await channel.basic_publish(
                    body, exchange=self._exchange, routing_key=sign.group, properties=_PASSING, wait=False
                )

    async def end(self) -> None:
        """Listen no more."""
        if self._channel is not None:
            await end(self._channel)

    def _delivered(self, frame: Any, header: ContentHeader, body: bytes) -> None:
        try:
            sign = msgspec.json.decode(body, type=Sign)
        except msgspec.DecodeError:
            return  # not one of ours
        self._heard(sign)


class Membership:
    """A member's knowledge of its group."""

    def __init__(
        self, link: Link, exchange: str, group: str, member: str, clock: Clock, asked: Callable[[], None]
    ) -> None:
        self._link = link
        self._clock = clock
        self._group = group
        self._member = member
        self._asked = asked
        self._listening = Listening(link, exchange, self._heard)
        self._seen: dict[str, float] = {}

    async def join(self) -> None:
        """Begin to hear the others.

        Raises:
            BrokerError: the server refuses.
        """
        await self._listening.begin([self._group])
        self._seen[self._member] = self._clock.monotonic()

    async def beat(self, unsettled: int) -> None:
        """Show that this member is there.

        Raises:
            BrokerUnreachable: nothing was heard for too long.
            BrokerError: the connection was lost.
        """
        settings = self._link.settings
        if self._clock.monotonic() - self._seen[self._member] > settings.timeout:
            raise BrokerUnreachable(settings.url, f"it has said nothing for {settings.timeout:g} s")
        await self._listening.say(Sign(self._group, self._member, unsettled))

    def turns(self, partitions: int) -> set[int]:
        """The partitions that are this member's."""
        oldest = self._clock.monotonic() - self._link.settings.session
        members = sorted(name for name, at in self._seen.items() if at >= oldest or name == self._member)
        return {number for number, owner in dealt(partitions, members).items() if owner == self._member}

    async def leave(self) -> None:
        """Say goodbye, as far as the connection still works."""
        await self._listening.say(Sign(self._group, self._member, is_leaving=True))

    async def end(self) -> None:
        """Hear nothing any more."""
        await self._listening.end()

    def _heard(self, sign: Sign) -> None:
        if sign.is_question:
            self._asked()
        elif sign.is_leaving and sign.member != self._member:
            self._seen.pop(sign.member, None)
        else:
            self._seen[sign.member] = self._clock.monotonic()


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
