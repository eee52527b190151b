"""`Membership`: which of its group's sessions a member has, as all members tell each other what they have.

Each member keeps a retained message of what it has. The server takes it away when the member's connection ends without
a goodbye; where it was the server that ended, the message lapses by itself unless it is repeated. A session goes to
another member when who has it has settled what it has in hand, and what keeps two from one session is the server: it
gives a session to one connection at a time.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from tidings.brokers.channels import PARTITIONS
from tidings.brokers.mqtt.dialing import Life
from tidings.brokers.mqtt.inbox import MqttInbox
from tidings.brokers.mqtt.link import Link
from tidings.brokers.mqtt.names import member_session_of, member_topic_of, session_of
from tidings.brokers.mqtt.part import Hearing, Part
from tidings.brokers.mqtt.settings import Settings
from tidings.brokers.mqtt.wire import Outgoing
from tidings.brokers.rota import turns
from tidings.errors import BrokerError, BrokerUnreachable

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_SILENCE: Final = 3  # signs of life missed until a member is taken for dead


class Membership:
    """One member of a group, from `join` to `leave`."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        member: str,
        hearing: Callable[[int], Hearing],
        inbox: MqttInbox,
        prefetch: int,
    ) -> None:
        self._settings = settings
        self._group = group
        self._member = member
        self._hearing = hearing
        self._inbox = inbox
        self._prefetch = prefetch
        self._loop = asyncio.get_running_loop()
        self._topic = member_topic_of(settings.prefix, group, member)
        life = Life(member_session_of(settings.prefix, group, member), will=self._topic)
        self._link = Link(settings, life, self._hear, self._end)
        self._parts: dict[int, Part] = {}
        self._released: dict[int, float] = {}  # those to let go of, and until when they may have something in hand
        self._told: dict[str, tuple[list[int], float]] = {}  # what each member has, and when it said so
        self._said: tuple[list[int], float] | None = None
        self._changed = asyncio.Event()
        self._complete = asyncio.Event()  # every session is somebody's
        self._task: asyncio.Task[None] | None = None
        inbox.when_idle = self._changed.set

    async def join(self) -> None:
        """Returns when every session of the group is there and somebody has it, so that nothing is missed from now on.

        Raises:
            BrokerError: the server did not do its part in time.
        """
        await self._link.open()
        topics = member_topic_of(self._settings.prefix, self._group, "+")
        await self._link.subscribe([topics], retained=0)
        await self._say()
        self._task = asyncio.create_task(self._run())
        failing = asyncio.ensure_future(asyncio.wait([self._task]))
        complete = asyncio.ensure_future(self._complete.wait())
        try:
            limit = self._settings.timeout + _SILENCE * self._settings.session
            await asyncio.wait([failing, complete], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            failing.cancel()
            complete.cancel()
        if self._inbox.failure is not None:
            raise self._inbox.failure
        if not self._complete.is_set():
            raise BrokerUnreachable(self._settings.url, f"not every session of group {self._group!r} could be had")

    async def leave(self) -> None:
        """Let the others have what this member had."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        answered = await asyncio.gather(*(part.leave() for part in self._parts.values()))
        if all(answered):
            with contextlib.suppress(BrokerError):  # without goodbye, the server takes what it has said away
                await self._link.send([Outgoing(self._topic, b"", retain=True)])
                await self._link.leave()

    def cut(self) -> None:
        """End as if the process had ended."""
        for part in self._parts.values():
            part.cut()
        self._link.cut()
        self._inbox.fail(BrokerUnreachable(self._settings.url, "the connection was closed here"))

    async def _run(self) -> None:
        try:
            while True:
                if self._member in self._told:  # what had been said before is known, as one's own word comes last
                    await self._turn()
                else:
                    await self._say()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.session / 2):
                        await self._changed.wait()
                self._changed.clear()
        except Exception as error:  # told to whoever joins or receives
            self._inbox.fail(error)

    async def _turn(self) -> None:
        """Give back what others should have, and take what nobody has."""
        members, owners = self._alive()
        mine = _turns(owners, members, self._member)
        for number in set(self._parts) - mine - set(self._released):
            self._parts[number].is_leaving = True
            self._released[number] = self._loop.time() + self._settings.timeout
        await self._release()
        await self._take(mine - set(self._parts))
        await self._say()

    def _alive(self) -> tuple[list[str], dict[int, str | None]]:
        since = self._loop.time() - _SILENCE * self._settings.session
        self._told = {member: told for member, told in self._told.items() if told[1] >= since}
        owners: dict[int, str | None] = dict.fromkeys(range(PARTITIONS))
        for member, (numbers, _) in self._told.items():
            owners.update((number, member) for number in numbers if member != self._member)
        owners.update((number, self._member) for number in self._parts)
        return sorted({*self._told, self._member}), owners

    async def _release(self) -> None:
        now = self._loop.time()
        done = [number for number, until in self._released.items() if not self._parts[number].in_hand or now >= until]
        leaving = [self._parts.pop(number) for number in done]
        for number in done:
            del self._released[number]
        await asyncio.gather(*(part.leave() for part in leaving))  # each ends its connection, also when cancelled

    async def _take(self, numbers: set[int]) -> None:
        opening: dict[int, Part] = {}
        for number in numbers:
            life = Life(session_of(self._settings.prefix, self._group, number), self._settings.expiry, self._prefetch)
            opening[number] = self._parts[number] = Part(self._settings, life, self._inbox.take, self._lose)
        await asyncio.gather(*(self._open(number, part) for number, part in opening.items()))

    async def _open(self, number: int, part: Part) -> None:
        try:
            await part.open()
            await part.hear(self._hearing(number))
        except BrokerError:
            if not part.was_had:
                raise  # else another member has just taken it, and says so

    async def _say(self) -> None:
        """Tell the others what this member has, when that has changed, and every now and then."""
        now, mine = self._loop.time(), sorted(self._parts)
        if self._said is None or self._said[0] != mine or now - self._said[1] >= self._settings.session / 2:
            self._said = mine, now
            lapse = {"MessageExpiryInterval": _SILENCE * self._settings.session}
            await self._link.send([Outgoing(self._topic, msgspec.json.encode(mine), lapse, retain=True)])

    def _hear(self, message: "MQTTMessage") -> None:
        """A member has said what it has, or is gone."""
        member = message.topic.rpartition("/")[2]
        if not message.payload:
            self._told.pop(member, None)
        else:
            with contextlib.suppress(msgspec.DecodeError):  # somebody else's word
                before = self._told.get(member)
                self._told[member] = msgspec.json.decode(message.payload, type=list[int]), self._loop.time()
                if before is not None and before[0] == self._told[member][0]:
                    self._acknowledge(message)
                    return
        self._acknowledge(message)
        self._changed.set()
        if {number for numbers, _ in self._told.values() for number in numbers} >= set(range(PARTITIONS)):
            self._complete.set()

    def _acknowledge(self, message: "MQTTMessage") -> None:
        if message.qos:
            self._link.acknowledge([message.mid])

    def _lose(self, part: Part, failure: BrokerUnreachable) -> None:
        """A session is another member's now. Or the server is away: then the member's own link notices, too."""
        for number in [number for number, each in self._parts.items() if each is part]:
            del self._parts[number]
            self._released.pop(number, None)
        self._changed.set()

    def _end(self, failure: BrokerUnreachable) -> None:
        self._inbox.fail(failure)


def _turns(owners: dict[int, str | None], members: list[str], member: str) -> set[int]:
    """Its fair share, where each counts from a place of its own: who joins at the same time does not take the same."""
    first = members.index(member) * PARTITIONS // len(members)
    counted = {(number - first) % PARTITIONS: owner for number, owner in owners.items()}
    return {(number + first) % PARTITIONS for number in turns(counted, members, member)}
