"""`Groups`: the groups of a log as operators have them in hand: look, pause, resume, move, forget."""

import difflib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tidings.clock import Clock, SystemClock
from tidings.errors import ConfigurationError
from tidings.events import PatternSet
from tidings.handling.oversight.sight import Sight, sight_of
from tidings.handling.subscription import Subscription
from tidings.log import Log
from tidings.log.group import GroupStatus, Report
from tidings.log.places import count, position
from tidings.log.position import Position, order_in

_DIRECT = (
    "{} hears the broker directly, and has no place in the log to stop at or to move: end the processes that run it"
)
Looked = Callable[[int, int], None]  # how many were looked at so far, of how many in all


class Move(msgspec.Struct, frozen=True):
    """What moving a group means: so many `events` are heard again, or passed over when it goes `forward`."""

    group: str
    to: Position
    events: int
    forward: bool
    forgotten: int  # events set aside, which come again or lie behind the place
    is_run: bool
    effects: tuple[str, ...]  # what hearing again does, in sentences


class Groups:
    """The groups of one log. A name may be a pattern, as in `shop.*`.

    Raises (each method that takes names):
        ConfigurationError: no group has such a name; the message has those that are close.
    """

    def __init__(
        self,
        log: Log,
        subscriptions: Sequence[Subscription] = (),
        clock: Clock | None = None,
        reports: Callable[[], Iterable[Report]] = tuple,
    ) -> None:
        self._log = log
        self._subscriptions = {each.name: each for each in subscriptions}
        self._clock = clock or SystemClock()
        self._reports = reports  # what this process can say of its own members, at this moment

    async def list(self, *names: str) -> Sequence[Sight]:
        """All groups, or those named, with how far they are behind, and why."""
        found = await self._named(names) if names else await self._log.ledger.groups()
        said = list(self._reports())
        now = self._clock.now()
        return [
            await sight_of(self._log, status, now, [each for each in said if each.group == status.name])
            for status in found
        ]

    async def pause(self, *names: str, why: str = "") -> Sequence[str]:
        """Have groups stop, wherever they run; nothing is lost meanwhile. Says which; `why` is shown with them."""
        chosen = [status.name for status in await self._named(names)]
        for name in chosen:
            await self._log.ledger.set_state(name, "paused", why)
        return chosen

    async def resume(self, *names: str) -> Sequence[str]:
        """Let paused groups go on; says which."""
        chosen = [status.name for status in await self._named(names)]
        for name in chosen:
            await self._log.ledger.set_state(name, "live")
        return chosen

    async def plan(self, *names: str, to: str, looked: Looked = lambda done, total: None) -> Sequence[Move]:
        """What `reset` would do; nothing is changed. `looked` is told how many events were looked at, of how many.

        Raises:
            LogTruncated: this log has no such position.
        """
        chosen = await self._named(names)
        place = await position(self._log, to, self._clock)
        distances = (abs(order_in(place) - order_in(status.position)) for status in chosen)
        total = sum(distances) if self._log.is_dense else sum(status.lag for status in chosen)
        so_far = 0

        def look(more: int) -> None:
            nonlocal so_far
            so_far += more
            looked(so_far, total)

        return [await self._move(status, place, look) for status in chosen]

    async def reset(self, *names: str, to: str) -> Sequence[Move]:
        """Move groups to a place in the log, from where they hear everything again, and forget what they set aside.

        `to` is `earliest`, `latest`, a position, a time (ISO 8601), or `2h ago`.

        Raises:
            LogTruncated: this log has no such position.
        """
        moves = await self.plan(*names, to=to)
        for move in moves:
            await self._log.ledger.reset(move.group, move.to)
        return moves

    async def delete(self, *names: str, force: bool = False) -> Sequence[str]:
        """Forget groups with their positions and all they have set aside; says which.

        Raises:
            ConfigurationError: members run one, and it is not to be done by `force`; none was forgotten.
        """
        chosen = await self._named(names)
        for status in chosen:
            if status.members and not force:
                raise ConfigurationError(
                    f"{status.name} is run by {', '.join(status.members)}: stop its application first, or use force"
                )
        for status in chosen:
            await self._log.ledger.forget(status.name)
        return [status.name for status in chosen]

    async def _named(self, names: Sequence[str]) -> Sequence[GroupStatus]:
        if not names:
            raise ConfigurationError("no group was named: 'tidings groups' lists those there are")
        there = {status.name: status for status in await self._log.ledger.groups()}
        chosen: dict[str, GroupStatus] = {}
        for name in names:
            found = _matching(name, there)
            if not found:
                known = self._subscriptions.get(name)
                raise ConfigurationError(_DIRECT.format(name) if known and known.direct else _unknown(name, there))
            chosen |= {each: there[each] for each in found}
        return list(chosen.values())

    async def _move(self, status: GroupStatus, place: Position, advance: Callable[[int], None]) -> Move:
        forward = place > status.position
        first, last = sorted((place, status.position))
        events = await count(self._log, status.patterns, after=first, upto=last, advance=advance)
        effects = () if forward else _effects(self._subscriptions.get(status.name))
        forgotten = status.retry + status.blocked + status.dead
        return Move(status.name, place, events, forward, forgotten, bool(status.members), effects)


def _matching(name: str, there: Iterable[str]) -> list[str]:
    if name in there or "*" not in name:
        return [name] if name in there else []
    pattern = PatternSet([name])
    return [each for each in there if pattern.matches(each)]


def _unknown(name: str, there: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(there), cutoff=0.5)
    meant = f": did you mean {' or '.join(close)}?" if close else ": 'tidings groups' lists those there are"
    return f"there is no group {name!r}{meant}"


def _effects(subscription: Subscription | None) -> tuple[str, ...]:
    """What is done again when events are heard again, and what is not."""
    returned = "events it returns keep their ids and are not recorded again"
    outside = "calls to the outside are made again, with the same idempotency keys"
    if subscription is None:
        return (returned, "what it writes with tx is written again", outside)
    form = subscription.form
    bare = "calls to the outside are made again, without a key to tell by: it takes no Delivery"
    return (
        *([returned] if form.returns_events or form.returned else []),
        *(["what it writes with tx is written again, unless its statements allow for that"] if form.uses_tx else []),
        outside if "delivery" in form.wants else bare,
    )
