"""What the server keeps about groups: their names, how they stand, and what they gave up."""

import asyncio
import contextlib
from collections.abc import Mapping

from tidings.brokers.interface import DeadLetter, Standing
from tidings.brokers.rabbitmq.browsing import Browser
from tidings.brokers.rabbitmq.link import Link
from tidings.brokers.rabbitmq.membership import Presence, Sign
from tidings.brokers.rabbitmq.message import LETTER, Messages, handed_back, said_of
from tidings.brokers.rabbitmq.names import GROUPS, STEPS, dead_of, later_of, queue_of
from tidings.brokers.rabbitmq.outlet import Outlet
from tidings.brokers.rabbitmq.topology import Topology


class Records:
    """Reads and changes them."""

    def __init__(self, link: Link, publishing: Link, topology: Topology, messages: Messages, outlet: Outlet) -> None:
        self._link = link
        self._publishing = publishing
        self._prefix = link.settings.prefix
        self._topology = topology
        self._messages = messages
        self._outlet = outlet
        self._browser = Browser(link)

    async def groups(self) -> list[str]:
        """The names of all groups.

        Raises:
            BrokerError: the server did not say.
        """
        await self._topology.known()
        async with self._browser.looking(self._prefix + GROUPS) as look:
            return sorted({each.body.decode(errors="replace") for each in look.found})

    async def standings(self) -> list[Standing]:
        """How each group stands. What is with a member now, only that member can say; the others are asked to.

        Raises:
            BrokerError: the server did not say.
        """
        groups = await self.groups()
        partitions = await self._topology.known()
        members = {group: await self._members(group) for group in groups}
        unsettled = await self._unsettled(members)
        return [await self._standing(group, partitions, members[group], unsettled[group]) for group in groups]

    async def letters(self, group: str) -> list[DeadLetter]:
        """What a group gave up, oldest first.

        Raises:
            BrokerError: the server did not say.
        """
        async with self._browser.looking(dead_of(self._prefix, group)) as look:
            return [self._messages.letter(group, each) for each in look.found]

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Hand it to its group, or drop it; nothing happens when somebody else has.

        Raises:
            BrokerError: the server failed; the letter may still be there.
        """
        async with self._browser.looking(dead_of(self._prefix, letter.group)) as look:
            for received in look.found:
                if said_of(received, LETTER) == letter.ticket:
                    if again:
                        await self._outlet.send([handed_back(received)])
                    await look.take(received)
                    return

    async def _members(self, group: str) -> int:
        """All of them stand in line for each queue."""
        [(_, consumers)] = await self._browser.counts([queue_of(self._prefix, group, 0)])
        return consumers

    async def _standing(self, group: str, partitions: int, members: int, unsettled: Mapping[str, int]) -> Standing:
        queues = [queue_of(self._prefix, group, number) for number in range(partitions)]
        queues += [later_of(self._prefix, group, step) for step in STEPS]
        *counts, (dead, _) = await self._browser.counts([*queues, dead_of(self._prefix, group)])
        ready = sum(messages for messages, _ in counts)
        lag = ready + sum(unsettled.values()) if len(unsettled) >= members else None
        return Standing(group, lag, members, dead)

    async def _unsettled(self, members: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """What the members of each group say; who does not answer for a while is left out."""
        found: dict[str, dict[str, int]] = {group: {} for group in members}
        complete = asyncio.Event()

        def heard(sign: Sign) -> None:
            if not sign.is_question and not sign.is_leaving:
                found[sign.group][sign.member] = sign.unsettled
            if all(len(found[group]) >= count for group, count in members.items()):
                complete.set()

        presence = Presence(self._link, self._publishing, self._topology.presence, heard)
        try:
            await presence.begin(list(members))
            for group in members:
                await presence.say(Sign(group, "", is_question=True))
            if members:
                await _within(self._link.settings.beat * 2, complete)
        finally:
            await presence.end()
        return found


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
