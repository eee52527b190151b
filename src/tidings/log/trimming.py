"""Trimming a log by its rules: what they come to now, and going through the log in small steps.

`sweep` is what the application's chore and `tidings trim` both run; `usage` tells what it would do, and who holds what.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping

import msgspec

from tidings.log.census import Block, Census, total
from tidings.log.group import GroupStatus
from tidings.log.interface import Log
from tidings.log.position import Position, order_in
from tidings.log.retention import Cut, Disk, Holder, Kind, Retention, Tally, Trimmed
from tidings.log.selection import Floors, Reading

_STEP = 1000  # events: between two steps other writers have their turn
_LOOK_AGAIN = 600.0  # seconds until a block is looked at again whose events are all held back
NOTHING = Trimmed("", {}, {}, 0)


class Share(msgspec.Struct):
    """What one rule speaks of: how much there is, what it lets go, and who holds back what it would let go."""

    pattern: str
    rule: str
    there: Tally
    goes: Tally
    held: dict[Holder, Tally]


class Usage(msgspec.Struct):
    """Who holds the disk: each rule's share in turn and, as the last, that of events without a rule."""

    disk: Disk
    shares: list[Share]
    groups: list[GroupStatus]


async def sweep(
    log: Log, retention: Retention, census: Census, now: float, *, dry_run: bool = False
) -> AsyncIterator[Trimmed]:
    """Once through the log, in steps that each take some milliseconds.

    A step that only counted says `NOTHING`. With `dry_run` nothing is removed, and each step tells what groups hold
    back; without it what they hold is not even looked at.
    """
    age = None if dry_run else retention.youngest
    async for _ in census.count(log, None if age is None else await log.position_at(now - age)):
        yield NOTHING
    is_exact = not dry_run and any(rule.bytes is not None for _, rule in retention.rules)
    if is_exact and not census.is_sound:
        return  # by counts that are too high, too much would go
    cuts = await cuts_of(log, retention, census, now, clipped=not dry_run)
    for block in list(census.blocks):
        own = _own(block, cuts)
        if not own or block.quiet_until > now:
            continue
        async for step in _trim(log, block, own, dry_run=dry_run):
            if not dry_run:
                census.subtract(block, step)
            yield step
            if is_exact and not census.is_sound:
                return
        if all(cuts[type].upto >= block.last for type in own):
            block.quiet_until = now + _LOOK_AGAIN
    if not dry_run:
        await _expire(log, retention, census, now)


async def usage(log: Log, retention: Retention, now: float) -> Usage:
    """What the rules would do now, and what holds back the rest; reads all of the log, and changes nothing."""
    census, gone, held = Census(), dict[int | None, Tally](), dict[int | None, dict[Holder, Tally]]()
    async for step in sweep(log, retention, census, now, dry_run=True):
        for kind, tally in step.removed.items():
            gone.setdefault(retention.place(kind.type), Tally()).add(tally)
        for (kind, holder), tally in step.held.items():
            held.setdefault(retention.place(kind.type), {}).setdefault(holder, Tally()).add(tally)
    rules: list[tuple[int | None, str, str]] = [
        (place, pattern, str(rule)) for place, (pattern, rule) in enumerate(retention.rules)
    ]
    rules.append((None, "everything else", "kept"))
    shares = [
        Share(pattern, rule, census.tally(_of(retention, place)), gone.get(place, Tally()), held.get(place, {}))
        for place, pattern, rule in rules
    ]
    return Usage(await log.disk(), shares, await log.ledger.groups())


async def cuts_of(
    log: Log, retention: Retention, census: Census, now: float, *, clipped: bool = True
) -> dict[str, Cut]:
    """How far each name may go by its rule; `clipped` to what all that hear it are past."""
    floors = _floors(await log.ledger.groups())
    kinds, cuts = census.kinds(), dict[str, Cut]()
    for place, (_, rule) in enumerate(retention.rules):
        types = {kind.type for kind in kinds if retention.place(kind.type) == place}
        upto = await _limit(log, retention, census, place, now) if types else 0
        for type in types:
            cut, slowest = upto, floors.slowest(type)
            if slowest is not None and rule.consumed:
                cut = max(cut, slowest.order)
            if slowest is not None and clipped:
                cut = min(cut, slowest.order)
            cuts[type] = Cut(cut, rule.streams)
    return cuts


async def _limit(log: Log, retention: Retention, census: Census, place: int, now: float) -> int:
    """The order up to which a rule's age and size let events go."""
    rule = retention.rules[place][1]
    upto = 0
    if rule.seconds is not None:
        upto = order_in(await log.position_at(now - rule.seconds))
    if rule.bytes is not None:
        upto = max(upto, await _beyond(log, retention, census, place, rule.bytes))
    return upto


async def _beyond(log: Log, retention: Retention, census: Census, place: int, size: int) -> int:
    """The order up to which the rule's events have to go for the others to fit into `size`."""
    wanted = _of(retention, place, removable=True)
    excess = census.tally(wanted).bytes - size
    for block in census.blocks if excess > 0 else ():
        has = total([block], wanted).bytes
        if has >= excess:
            return await _within(log, retention, place, block, excess)
        excess -= has
    return 0


async def _within(log: Log, retention: Retention, place: int, block: Block, excess: int) -> int:
    """The order within a block up to which its events come to `excess`."""
    wanted = _of(retention, place, removable=True)
    after, last, count = block.after, block.last, sum(tally.events for tally in block.kinds.values())
    while count > 1:
        half = await log.survey(after, count // 2)
        has = sum(tally.bytes for kind, tally in half.kinds.items() if wanted(kind))
        if has >= excess:
            last, count = min(order_in(half.upto), last), count // 2
        else:
            after, excess, count = half.upto, excess - has, count - count // 2
    return last


async def _trim(log: Log, block: Block, cuts: dict[str, Cut], *, dry_run: bool) -> AsyncIterator[Trimmed]:
    after: Position = block.after
    end = max(cut.upto for cut in cuts.values())
    while order_in(after) < end:
        step = await log.trim(cuts, after, limit=_STEP, dry_run=dry_run)
        if step.upto == after:
            return
        yield step
        after = step.upto


async def _expire(log: Log, retention: Retention, census: Census, now: float) -> None:
    """Drop dead letters whose rule says that they are old enough."""
    types = {kind.type for kind in census.kinds()}
    for place, (_, rule) in enumerate(retention.rules):
        own = sorted(type for type in types if retention.place(type) == place)
        if rule.dead_seconds is not None and own:
            await log.ledger.expire(now - rule.dead_seconds, own)


def _own(block: Block, cuts: Mapping[str, Cut]) -> dict[str, Cut]:
    """The cuts that may remove something of this block, and no further than that."""
    own: dict[str, Cut] = {}
    for kind in block.kinds:
        cut = cuts.get(kind.type)
        if cut is not None and cut.upto > block.first and (cut.streams or not kind.in_stream):
            own[kind.type] = Cut(min(cut.upto, block.last), cut.streams)
    return own


def _of(retention: Retention, place: int | None, *, removable: bool = False) -> Callable[[Kind], bool]:
    """Is a kind of this rule, and, if `removable`, none of those that it keeps for ever?"""

    def wanted(kind: Kind) -> bool:
        is_own = retention.place(kind.type) == place
        return is_own and not (
            removable and kind.in_stream and place is not None and not retention.rules[place][1].streams
        )

    return wanted


def _floors(groups: Iterable[GroupStatus]) -> Floors:
    return Floors(Reading(one.name, one.patterns, one.state, order_in(one.position)) for one in groups)
