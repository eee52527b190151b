"""Groups that come back after nobody has run them for long: what they have missed for good is said aloud."""

import logging
from collections.abc import Sequence

from tidings.errors import LogDamaged
from tidings.handling.report import say
from tidings.log import Log
from tidings.log.group import Group, GroupStatus
from tidings.log.position import order_in


async def greet_orphans(log: Log, groups: Sequence[Group]) -> None:
    """Say which of the `groups`, about to be run again, were orphans, and how much was trimmed before they heard it."""
    names = {group.name for group in groups}
    for status in await log.ledger.groups():
        if status.name in names and status.state == "orphaned":
            trimmed = await trimmed_before(log, status)
            level = logging.WARNING if trimmed else logging.INFO
            reason = "nobody ran it for long" + (", and events it has not heard were trimmed" if trimmed else "")
            say(level, "orphan", group=status.name, last_seen=int(status.last_seen), trimmed=trimmed, reason=reason)


async def trimmed_before(log: Log, status: GroupStatus) -> int:
    """How many events are gone between a group and the oldest that is left; what they were nobody can tell any more.

    0 where the log's orders do not tell how many there were.
    """
    if not log.is_dense:
        return 0
    at = order_in(status.position)
    try:
        found = await log.scan(status.position, limit=1)
    except LogDamaged as error:
        return order_in(min(error.positions)) - at - 1 if error.positions else 0
    return (found.records[0].order if found.records else order_in(found.upto) + 1) - at - 1
