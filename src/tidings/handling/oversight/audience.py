"""Who will hear an event."""

from collections.abc import Sequence
from typing import Any

from tidings.events import PatternSet
from tidings.log import Log


async def audience(log: Log | None, subscriptions: Sequence[Any], name: str) -> list[str]:
    """The groups that hear `name`: those the log knows, and those of the application that begin at the beginning."""
    known = {} if log is None else {group.name: group.patterns for group in await log.ledger.groups()}
    planned = {each.name: each.group.patterns for each in subscriptions if each.group.start == "earliest"}
    return sorted(group for group, patterns in (planned | known).items() if PatternSet(patterns).matches(name))
