"""What channels, partitions, groups and members are called in MQTT: topics, filters, and the names of sessions.

An event travels on `<prefix><channel>/<partition>/<name>`, as `order/3/order:created`. What MQTT gives a meaning
(`/`, `+`, `#`) stands as `%` and its number in base 16, so that no two names share a topic. A retained event has its
key as one more level, since a server keeps the newest of each topic.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

from tidings.brokers.channels import PARTITIONS

_ROOM: Final = "_tidings"  # the level below which members tell each other of themselves
_PLAIN: Final = ":@!,;=()'*~"


def topic_of(prefix: str, channel: str, partition: int, name: str, key: str | None = None) -> str:
    """Where an event is published; with a key, where the newest of that key is kept."""
    topic = f"{prefix}{_encoded(channel)}/{partition}/{_encoded(name)}"
    return topic if key is None else f"{topic}/{_encoded(key)}"


def filters_of(prefix: str, channels: Iterable[str] | None, partitions: Iterable[int]) -> list[str]:
    """What selects these partitions of these channels; None: of any, those that do not exist yet included."""
    levels = ["+"] if channels is None else [_encoded(each) for each in sorted(channels)]
    return [f"{prefix}{level}/{partition}/#" for level in levels for partition in partitions]


def foreign_filter(prefix: str, channel: str) -> str:
    """What selects all that others put on a channel, on whatever topics below its name."""
    return f"{prefix}{channel}/#"


def shared_filter(group: str, wanted: str) -> str:
    """The same, of which each message goes to one session of the group."""
    return f"$share/{_encoded(group)}/{wanted}"


def channel_of(prefix: str, topic: str) -> str:
    """The channel of a topic: its first level."""
    return unquote(topic.removeprefix(prefix).partition("/")[0])


def is_ours(prefix: str, topic: str) -> bool:
    """Is the topic a partition's?"""
    levels = topic.removeprefix(prefix).split("/", 2)
    return len(levels) == 3 and levels[1].isdecimal() and int(levels[1]) < PARTITIONS


def session_of(prefix: str, group: str, partition: int) -> str:
    """The session in which a group's events of a partition wait."""
    return f"{prefix}{_encoded(group)}/{partition}"


def member_session_of(prefix: str, group: str, member: str) -> str:
    """The session of a member's own, over which it hears of the others."""
    return f"{prefix}{_encoded(group)}/{member}"


def member_topic_of(prefix: str, group: str, member: str) -> str:
    """Where a member says what it has; `+` for all members."""
    return f"{prefix}{_ROOM}/members/{_encoded(group)}/{member}"


def _encoded(name: str) -> str:
    return quote(name, safe=_PLAIN)
