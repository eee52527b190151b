"""Dead letters as operators speak of them: by an event's id or position, in one group or in all."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidings.cli.target import Target
from tidings.cli.words import data_text
from tidings.errors import ConfigurationError
from tidings.events import to_cloudevent
from tidings.log import START, Ledger, Log, Parked
from tidings.log.record import restore

FIELDS = ("position", "group", "name", "key", "id", "calls", "behind", "dead since", "reason")
_ALL = 1_000_000
Change = Callable[[Ledger, str, list[int]], Awaitable[int]]


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, its position, and how many events wait behind it."""

    parked: Parked
    position: str
    behind: int


async def letters(target: Target, group: str | None) -> list[Letter]:
    """All of them, oldest first."""
    async with target.log() as log:
        return await _letters(log, group)


async def settle(
    target: Target, group: str | None, names: Sequence[str], everything: bool, change: Change
) -> list[tuple[str, int, bool]]:
    """Change the letters that are meant; per group: how many events it concerned, and whether anybody is at work."""
    async with target.log() as log:
        by_group: dict[str, list[int]] = {}
        for letter in chosen(await _letters(log, group), names, everything=everything):
            by_group.setdefault(letter.parked.group, []).append(letter.parked.order)
        counts = {name: await change(log.ledger, name, orders) for name, orders in by_group.items()}
        at_work = {status.name for status in await log.ledger.groups() if status.members}
    return [(name, count, name in at_work) for name, count in counts.items()]


async def retry(ledger: Ledger, group: str, orders: list[int]) -> int:
    """Have them tried again now."""
    return await ledger.retry(group, orders)


async def skip(ledger: Ledger, group: str, orders: list[int]) -> int:
    """Let go of them."""
    return await ledger.discard(group, orders)


async def drop(ledger: Ledger, group: str, orders: list[int]) -> int:
    """Let go of them and of what waits behind them."""
    return await ledger.discard(group, orders, followers=True)


def chosen(found: Sequence[Letter], names: Sequence[str], *, everything: bool) -> list[Letter]:
    """Those with one of these ids or positions, or all.

    Raises:
        ConfigurationError: one is not there, or none was named.
    """
    if bool(names) == everything:
        raise ConfigurationError(
            "name dead letters by id or position, as 'tidings dead list' shows them, or give --all"
        )
    if everything:
        return list(found)
    unknown = set(names) - {letter.parked.event_id for letter in found} - {letter.position for letter in found}
    if unknown:
        raise ConfigurationError(
            f"{', '.join(sorted(unknown))} is no dead letter: 'tidings dead list' shows those there are"
        )
    return [letter for letter in found if letter.parked.event_id in names or letter.position in names]


def row(letter: Letter) -> list[Any]:
    """The cells of `FIELDS`."""
    one = letter.parked
    since = _time(one.parked_at).astimezone().isoformat(timespec="seconds")
    return [letter.position, one.group, one.type, one.key, one.event_id, one.attempts, letter.behind, since, one.reason]


def facts(letter: Letter) -> dict[str, Any]:
    """What there is to say, but for the traceback."""
    said = dict(zip(FIELDS, row(letter), strict=True))
    record = letter.parked.record
    if record is None:
        return said | {"data": "trimmed from the log"}
    event = restore(record, letter.position)
    return said | {"recorded": event.recorded_at, "cause": event.causation_id, "data": data_text(event)}


def document(letter: Letter) -> dict[str, Any]:
    """All of it, the event as a CloudEvent."""
    one = letter.parked
    event = None if one.record is None else msgspec.Raw(to_cloudevent(restore(one.record, letter.position)))
    return {
        "position": letter.position,
        "group": one.group,
        "id": one.event_id,
        "type": one.type,
        "key": one.key,
        "calls": one.attempts,
        "behind": letter.behind,
        "since": _time(one.parked_at),
        "reason": one.reason,
        "detail": one.detail,
        "event": event,
    }


async def _letters(log: Log, group: str | None) -> list[Letter]:
    if group is not None and group not in {status.name for status in await log.ledger.groups()}:
        raise ConfigurationError(f"there is no group {group!r}: 'tidings groups' lists those there are")
    epoch = (await log.scan(START, limit=1)).epoch
    dead = await log.ledger.parked(group, "dead", _ALL)
    blocked = await log.ledger.parked(group, "blocked", _ALL)
    behind = Counter((one.group, one.key) for one in blocked)
    return [
        Letter(one, epoch.position(one.order), behind[one.group, one.key] if one.blocks and one.key else 0)
        for one in dead
    ]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
