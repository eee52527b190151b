"""What channels and groups are called in Pulsar.

A channel whose name is made of `A-Z a-z 0-9 . _ -` is a topic of that name, so that a topic of somebody else is a
channel by its own name. Other characters stand as `.-` and their number in base 16: `shop:orders` is `shop.-3aorders`.
What belongs to groups ends in `~again` and `~dead`, which no channel does. Subscriptions are called as their group is.
"""

import re
from hashlib import sha256
from typing import Final

from tidings.brokers.pulsar.settings import Settings

_AGAIN: Final = "~again"  # what ends the name of a group's topic of events that it is to hear again
_DEAD: Final = "~dead"
_LONGEST: Final = 249  # servers keep topics in paths of their metadata
_FOREIGN = re.compile(r"\.-|[^A-Za-z0-9._-]")
_WRITTEN = re.compile(r"(?:\.-[0-9a-f]{2})+")
_ANY: Final = "_?[A-Za-z0-9.-][A-Za-z0-9._-]*"  # of a channel; the server's own topics begin with two underscores


def topic_of(settings: Settings, channel: str) -> str:
    """The topic of a channel."""
    return _full(settings, _bounded(settings.prefix + _encoded(channel)))


def again_topic_of(settings: Settings, group: str) -> str:
    """The topic of what a group is to hear again."""
    return _full(settings, _bounded(settings.prefix + _encoded(group), _AGAIN))


def dead_topic_of(settings: Settings) -> str:
    """The topic of what groups gave up: one for all, so that it is found without asking which groups there are."""
    return _full(settings, settings.prefix + _DEAD)


def pattern_of(settings: Settings, group: str) -> str:
    """What fits the topics of all channels, and the group's own."""
    start = _full(settings, settings.prefix)
    again = again_topic_of(settings, group).removeprefix(start)
    return f"{_escaped(start)}({_ANY}|{_escaped(again)})"


def channel_of(settings: Settings, topic: str) -> str | None:
    """The channel of a topic, or of a partition of it; None when it is none of this prefix."""
    name = topic.rpartition("/")[2]
    if "~" in name or not topic.startswith(_full(settings, settings.prefix)) or name.startswith("__"):
        return None
    channel = re.sub(r"-partition-\d+\Z", "", name.removeprefix(settings.prefix))
    return _WRITTEN.sub(_decoded, channel)


def _full(settings: Settings, name: str) -> str:
    return f"persistent://{settings.namespace}/{name}"


def _escaped(text: str) -> str:
    return text.replace(".", r"\.")  # the only character of a topic's name that has a meaning in a pattern


def _encoded(name: str) -> str:
    return _FOREIGN.sub(lambda found: "".join(f".-{byte:02x}" for byte in found[0].encode()), name)


def _decoded(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace(".-", "")).decode(errors="replace")


def _bounded(text: str, end: str = "") -> str:
    if len(text) + len(end) <= _LONGEST:
        return text + end
    mark = sha256(text.encode()).hexdigest()[:16]
    return text[: _LONGEST - len(end) - len(mark) - 1] + "-" + mark + end
