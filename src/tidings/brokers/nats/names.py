"""How NATS is told the names of channels, groups and events: streams, subjects and durable consumers.

A channel `order` is the stream `tidings_order` with a subject a partition, `tidings.order.0.>`; the name of an event
stands behind it as it is, as a name's grammar is within that of subjects. What is not, in channels and groups, is
written `=2E`, so that no two names meet and none reaches beyond its own.
"""

import re
from functools import lru_cache
from typing import Final

_OUTSIDE: Final = re.compile(r"[^A-Za-z0-9_-]")
_OUTSIDE_NAMES: Final = re.compile(r"[^A-Za-z0-9_:/.-]")
_WRITTEN: Final = re.compile(r"=([0-9A-F]{2})")


class Names:
    """Those of all that begins with one prefix."""

    def __init__(self, prefix: str) -> None:
        self.root = token(prefix).replace("_", "=5F")  # so that the first `_` of a stream's name ends it
        self.records = f"{self.root}-groups"  # who is a member of which group, and owns what
        self.letters = f"{self.root}-letters"  # dead letters, and those that groups have again

    def stream(self, channel: str) -> str:
        """The stream of a channel."""
        return f"{self.root}_{token(channel)}"

    def channel(self, stream: str) -> str | None:
        """The channel of a stream; None: it is none of ours."""
        root, found, channel = stream.partition("_")
        return plain(channel) if found and root == self.root else None

    def partition(self, channel: str, number: int | str) -> str:
        """The subjects of a partition; `*` for all of them."""
        return f"{self.root}.{token(channel)}.{number}.>"

    def every_channel(self) -> str:
        """The subjects of all channels."""
        return f"{self.root}.*.*.>"

    def subject(self, channel: str, partition: int, name: str) -> str:
        """Where an event is published."""
        return f"{self.root}.{token(channel)}.{partition}.{_event_name(name)}"

    def record(self, group: str, *key: str) -> str:
        """Where a group notes something of a member or partition; without a key all of its notes."""
        return ".".join([self.root, "=group", token(group), *(map(token, key) if key else (">",))])

    def every_record(self) -> str:
        """The notes of all groups."""
        return f"{self.root}.=group.>"

    def queue(self, group: str) -> str:
        """The server's queue group of a group."""
        return f"{self.root}.{token(group)}"

    def dead(self, group: str | None) -> str:
        """The dead letters of a group, or of all."""
        return f"{self.root}.=dead.{'*' if group is None else token(group)}"

    def again(self, group: str | None) -> str:
        """What a group, or any, has again."""
        return f"{self.root}.=again.{'*' if group is None else token(group)}"


@lru_cache(maxsize=4096)
def token(name: str) -> str:
    """A name as one word of a subject, of a stream or consumer."""
    return _OUTSIDE.sub(_written, name)


def plain(word: str) -> str:
    """The name that a word stands for."""
    octets = _WRITTEN.sub(lambda found: chr(int(found[1], 16)), word)
    return octets.encode("latin-1").decode(errors="replace")


def consumer(group: str, partition: int) -> str:
    """The durable consumer of a group for a partition."""
    return f"{token(group)}_{partition}"


def group_of(consumer: str) -> str:
    """The group of a durable consumer."""
    return plain(consumer.rpartition("_")[0])


@lru_cache(maxsize=4096)
def _event_name(name: str) -> str:
    word = _OUTSIDE_NAMES.sub(_written, name)
    return word.replace(".", "=2E") if "" in word.split(".") else word


def _written(found: re.Match[str]) -> str:
    return "".join(f"={octet:02X}" for octet in found[0].encode(errors="replace"))
