"""What channels and groups are called in Kafka, whose names are made of `A-Z a-z 0-9 . _ -`.

A name that Kafka allows is its own topic, so that a topic of somebody else is a channel by its own name. Other
characters stand as `.-` and their number in base 16: `shop:orders` is the topic `shop.-3aorders`.
"""

import re
from hashlib import sha256
from typing import Final

AGAIN: Final = ".again"  # what ends the name of a group's topic of events that it is to hear again
DEAD: Final = ".dead"  # what ends the name of a group's topic of dead letters
_LONGEST: Final = 249
_FOREIGN = re.compile(r"\.-|[^A-Za-z0-9._-]|\.(?=(?:again|dead)\Z)")
_WRITTEN = re.compile(r"(?:\.-[0-9a-f]{2})+")


def topic_of(prefix: str, channel: str) -> str:
    """The topic of a channel."""
    return _bounded(prefix + _encoded(channel))


def again_topic_of(prefix: str, group: str) -> str:
    """The topic of what a group is to hear again."""
    return _bounded(prefix + _encoded(group), AGAIN)


def dead_topic_of(prefix: str, group: str) -> str:
    """The topic of a group's dead letters."""
    return _bounded(prefix + _encoded(group), DEAD)


def channel_of(prefix: str, topic: str) -> str | None:
    """The channel of a topic; None when it is not one of this prefix, or of Kafka's or a group's own."""
    if not topic.startswith(prefix) or topic.startswith("__") or topic.endswith((AGAIN, DEAD)):
        return None
    return _WRITTEN.sub(_decoded, topic.removeprefix(prefix))


def _encoded(name: str) -> str:
    return _FOREIGN.sub(lambda found: "".join(f".-{byte:02x}" for byte in found[0].encode()), name)


def _decoded(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace(".-", "")).decode(errors="replace")


def _bounded(text: str, end: str = "") -> str:
    if len(text) + len(end) <= _LONGEST:
        return text + end
    mark = sha256(text.encode()).hexdigest()[:16]
    return text[: _LONGEST - len(end) - len(mark) - 1] + "-" + mark + end
