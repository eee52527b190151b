"""`Letters`: dead letters as operators speak of them, by an event's id or position, in one group or in all."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from tidings.errors import ConfigurationError
from tidings.log import Log, Parked
from tidings.log.parked import ParkedList
from tidings.log.places import is_position
from tidings.log.refusals import no_group

_ALL = 1_000_000
Change = Callable[[str, list[int]], Awaitable[int]]


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, or what may become one, and how many events wait behind it."""

    parked: Parked
    behind: int

    @property
    def position(self) -> str:
        """Where its event is recorded."""
        return self.parked.position


class Found(msgspec.Struct, frozen=True):
    """Some dead letters, oldest first, and how many `more` there are."""

    letters: Sequence[Letter]
    more: int = 0


class Settled(msgspec.Struct, frozen=True):
    """What was decided for a group: how many events it concerned, and whether anybody is at work to see it."""

    group: str
    count: int
    is_run: bool


class Letters:
    """The dead letters of one log.

    Raises (each method that takes a group or events):
        ConfigurationError: there is no such group, or dead letter.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    async def list(
        self, group: str | None = None, limit: int = 1000, state: Literal["dead", "retry"] = "dead"
    ) -> Found:
        """The oldest, of a group or of all; with `state="retry"` what is not dead, and waits for its next try."""
        await self._check(group)
        found = await self._log.ledger.parked(group, state, limit)
        return Found(await self._with_followers(group, found), found.more)

    async def aside(self, event: str, group: str | None = None) -> Sequence[Letter]:
        """What is set aside of one event, by id or position, in whatever state: dead, to be tried again, or blocked."""
        await self._check(group)
        found = await self._log.ledger.parked(group, None, _ALL)
        chosen = [one for one in found if event in (one.event_id, one.position)]
        if not chosen:
            raise ConfigurationError(
                f"no group has set {event} aside: 'tidings dead list', with --retry too, shows what is, and 'tidings"
                f" trace {event}' what became of it"
            )
        return await self._with_followers(group, chosen)

    async def find(self, *events: str, group: str | None = None) -> Sequence[Letter]:
        """Those with one of these ids or positions; without any, all there are."""
        await self._check(group)
        dead = await self._log.ledger.parked(group, "dead", _ALL)
        if unknown := set(events) - {one.event_id for one in dead} - {one.position for one in dead}:
            raise ConfigurationError(
                f"{', '.join(sorted(unknown))} is no dead letter: 'tidings dead list' shows those there are"
            )
        chosen = [one for one in dead if not events or one.event_id in events or one.position in events]
        return await self._with_followers(group, chosen)

    async def retry(self, *events: str, group: str | None = None) -> Sequence[Settled]:
        """Try them again, now; those waiting behind them follow. Without events, all there are."""
        return await self._settle(self._log.ledger.retry, events, group)

    async def skip(self, *events: str, group: str | None = None) -> Sequence[Settled]:
        """Give them up for their group; those waiting behind them go on. The log keeps the events."""
        return await self._settle(self._log.ledger.discard, events, group)

    async def drop(self, *events: str, group: str | None = None) -> Sequence[Settled]:
        """Give them up for their group, and all that waits behind them. The log keeps the events."""

        async def change(name: str, orders: Sequence[int]) -> int:
            return await self._log.ledger.discard(name, orders, followers=True)

        return await self._settle(change, events, group)

    async def add(self, group: str, event: str, reason: str = "set aside by an operator") -> str:
        """Make an event, by id or position, a dead letter of a group that has not answered it; returns its position.

        The group passes over it, readable or not: the way past a damaged record, or one whose handler brings the
        process down.

        Raises:
            LogTruncated: this log has no such position.
        """
        position = event if is_position(event) else await self._position(event)
        await self._log.ledger.set_aside(group, position, reason)
        return position

    async def _position(self, event_id: str) -> str:
        found = await self._log.find(event_id)
        if len(found.records) != 1:
            raise ConfigurationError(
                f"{event_id} names {len(found.records) or 'no'} events: give a position, as 'tidings tail' shows it"
            )
        return found.position(found.records[0])

    async def _check(self, group: str | None) -> None:
        if group is not None and group not in {status.name for status in await self._log.ledger.groups()}:
            raise no_group(group)

    async def _with_followers(self, group: str | None, dead: Sequence[Parked]) -> Sequence[Letter]:
        blocked = ParkedList([])
        if any(one.blocks and one.key for one in dead):
            blocked = await self._log.ledger.parked(group, "blocked", _ALL)
        behind = Counter((one.group, one.key) for one in blocked)
        return [Letter(one, behind[one.group, one.key] if one.blocks and one.key else 0) for one in dead]

    async def _settle(self, change: Change, events: Sequence[str], group: str | None) -> Sequence[Settled]:
        by_group: dict[str, list[int]] = {}
        for letter in await self.find(*events, group=group):
            by_group.setdefault(letter.parked.group, []).append(letter.parked.order)
        counts = {name: await change(name, orders) for name, orders in by_group.items()}
        at_work = {status.name for status in await self._log.ledger.groups() if status.members}
        return [Settled(name, count, name in at_work) for name, count in counts.items()]
