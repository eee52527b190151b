"""Names in RabbitMQ's grammar: routing keys are words joined by dots, in which `*` is one word and `#` any number.

A routing key is `<partition>.<channel>.<name>`. In the name, segments and what separates them are words of their own:
`order:created` is `order.:.created` and `order.created` is `order.,.created`. So names that differ by a separator alone
stay apart, and a pattern, to which separators are all one, has exactly one binding.
"""

import re
from functools import lru_cache
from typing import Final

from tidings.errors import ConfigurationError

EVENTS: Final = "events"  # exchanges, behind the prefix
LATER: Final = "later"
PRESENCE: Final = "presence"
PARTITIONS: Final = "partitions"  # queues, behind the prefix
GROUPS: Final = "groups"
STEPS: Final = [100 * 2**doublings for doublings in range(21)]  # milliseconds on the way round, up to 29 hours
_LONG: Final = "~"  # stands for a name that is too long for a routing key; whoever hears any name hears these
_LONGEST: Final = 255  # bytes of a name or routing key
_SEPARATORS: Final = re.compile(r"([:./])")
_WORDS: Final = {":": ":", ".": ",", "/": "/", "*": "*", "**": "#"}


@lru_cache(maxsize=4096)
def routing_key(partition: int, channel: str, name: str) -> str:
    """What an event is published with."""
    before = f"{partition}.{_word(channel)}."
    key = before + ".".join(_WORDS.get(each, each) for each in _SEPARATORS.split(name))
    return key if len(key) <= _LONGEST else f"{partition}.{_LONG}.{_LONG}"


def binding_keys(partition: int | str, pattern: str) -> list[str]:
    """What a queue is bound with to hear a pattern, as far as RabbitMQ can tell: it never misses any.

    Separators in a pattern with wildcards fit any separator; a `**` fits any number of them with their segments.
    """
    literal = "*" not in pattern
    words: list[str] = []
    for each in _SEPARATORS.split(pattern):
        is_separator = each in (":", ".", "/")
        words.append(_WORDS.get(each, each) if literal or not is_separator else "*")
    key = f"{partition}.*.{'.'.join(_opened(words))}"
    return [key if len(key) <= _LONGEST else f"{partition}.*.#", f"{partition}.{_LONG}.{_LONG}"]


def channel_binding(partition: int | str, channel: str) -> str:
    """What a queue is bound with to hear all of a channel, whatever it is."""
    return f"{partition}.{_word(channel)}.#"


def channel_of(routing_key: str) -> str:
    """The channel that a message travelled on."""
    words = routing_key.split(".", 2)
    return words[1].replace(",", ".") if len(words) > 1 else routing_key


def queue_of(prefix: str, group: str, partition: int) -> str:
    """The queue of a group's partition.

    Raises:
        ConfigurationError: the name would be too long.
    """
    return _fitting(f"{prefix}group.{group}.{partition}")


def dead_of(prefix: str, group: str) -> str:
    """The queue of what a group gave up."""
    return _fitting(f"{prefix}dead.{group}")


def later_of(prefix: str, group: str, step: int) -> str:
    """The queue of what a group is to be handed again after so many milliseconds."""
    return _fitting(f"{prefix}later.{group}.{step}")


def _opened(words: list[str]) -> list[str]:
    """Without the separators beside a `#`, as no segments have none: `a:**` hears `a`, too."""
    return [
        word
        for index, word in enumerate(words)
        if not (word == "*" and index % 2 and ("#" in words[index - 1 : index] or words[index + 1] == "#"))
    ]


def _word(channel: str) -> str:
    return channel.replace(".", ",")


def _fitting(name: str) -> str:
    if len(name.encode()) > _LONGEST:
        raise ConfigurationError(f"{name!r} would be a queue's name of more than {_LONGEST} bytes: shorten the group's")
    return name
