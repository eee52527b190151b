"""Handlers of which every process hears all: in a log, each has a group of its own for as long as the process runs."""

from collections.abc import Sequence

import msgspec

from tidings.handling.subscription import Subscription
from tidings.log import Log

_ORPHAN_AFTER = 60.0  # seconds; a process that ended badly leaves its groups behind


def of_member(subscription: Subscription, member: str) -> Subscription:
    """The subscription as one process runs it: the others' groups are not its own."""
    if not subscription.broadcast:
        return subscription
    name = f"{subscription.name}@{member}"
    group = msgspec.structs.replace(subscription.group, name=name, start="latest", orphan_after=_ORPHAN_AFTER)
    return msgspec.structs.replace(subscription, group=group)


async def forget_abandoned(log: Log, subscriptions: Sequence[Subscription]) -> None:
    """Delete the groups that processes have left behind which ended badly."""
    began = tuple(f"{each.name}@" for each in subscriptions if each.broadcast)
    if not began:
        return
    for status in await log.ledger.groups():
        if status.state == "orphaned" and status.name.startswith(began):
            await log.ledger.forget(status.name)
