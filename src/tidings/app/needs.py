"""What an application needs of its broker: the channels its events travel on, and the groups that hear there."""

from collections.abc import Sequence

from tidings.brokers import Channels, Wanted
from tidings.events import Catalog, Pattern
from tidings.events.names import OWN
from tidings.handling.subscription import Subscription


def wanted(
    app: str, subscriptions: Sequence[Subscription], catalog: Catalog, channels: Channels, *, has_log: bool
) -> Wanted:
    """The channels that are known beforehand, of contracts and of the names handlers hear; and who hears what.

    With a log it is the application that hears, as one group, what all its handlers do; those that hear the broker
    directly are groups of their own.
    """
    names = {contract.name for contract in catalog if contract.public}
    heard = {pattern for each in subscriptions for pattern in each.group.patterns if not pattern.startswith(OWN)}
    names |= {pattern for pattern in heard if Pattern(pattern).literal}
    known = {channels.of(name) for name in names}
    known |= channels.heard([each for each in heard if _has_channel(each)]) or frozenset()
    direct = [each for each in subscriptions if (each.direct or not has_log) and not each.broadcast]
    groups = [(each.name, each.group.patterns) for each in direct]
    by_log = {pattern for each in subscriptions if has_log and not each.direct for pattern in each.group.patterns}
    by_log -= {pattern for pattern in by_log if pattern.startswith(OWN)}
    if by_log:
        groups.append((app, tuple(sorted(by_log))))
    return Wanted(tuple(sorted(known)), tuple(groups))


def _has_channel(pattern: str) -> bool:
    """Is it known from the pattern on which channels its events travel?"""
    return not pattern.startswith("*")
