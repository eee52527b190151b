"""Which channel (topic, stream, exchange, subject) events travel on, and which part of it keeps a key in order."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zlib import crc32

from tidings.brokers.foreign import Decode
from tidings.errors import ConfigurationError, InvalidName
from tidings.events import Pattern, check_name
from tidings.events.names import ANSWER, first_segment

PARTITIONS: Final = 8  # of a channel, unless its carrier's URL says otherwise


class Channels:
    """The channels of an application: the first segment of an event's name, unless something else is said of it.

    `said` are names or patterns with the channel their events travel on; the first that fits decides. `decoders` make
    events of what others put on a channel, by its name.
    """

    def __init__(
        self, said: Mapping[str, str] | Iterable[tuple[str, str]] = (), decoders: Mapping[str, Decode] | None = None
    ) -> None:
        pairs = said.items() if isinstance(said, Mapping) else said
        self.decoders = dict(decoders or {})
        self._said = [(Pattern(heard), _checked(channel)) for heard, channel in pairs]
        self.said = {pattern.text: channel for pattern, channel in self._said}
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The channel of events of this name."""
        channel = self._known.get(name)
        if channel is None:
            channel = next((each for pattern, each in self._said if pattern.matches(name)), _of_itself(name))
            if len(self._known) < 4096:  # a bound, so that foreign names cannot fill the memory
                self._known[name] = channel
        return channel

    def heard(self, patterns: Sequence[str]) -> frozenset[str] | None:
        """The channels on which all that these patterns select travels; None: it may be any."""
        found: set[str] = set()
        for text in patterns:
            first = first_segment(text)
            if Pattern(text).literal:
                found.add(self.of(text))
            elif "*" in first:
                return None
            else:  # names of this pattern that nothing is said of, and whatever something is said of
                found.update((first, *(channel for _, channel in self._said)))
        return frozenset(found)


def _of_itself(name: str) -> str:
    """What a name says when nothing is said of it; each application's answers have a channel of their own."""
    return f"answers.{name.removeprefix(ANSWER)}" if name.startswith(ANSWER) else first_segment(name)


def partition_of(delivery_key: str, partitions: int) -> int:
    """The partition, from 0, that all events of a delivery key travel in."""
    return crc32(delivery_key.encode()) % partitions


def _checked(channel: str) -> str:
    try:
        if isinstance(channel, str) and Pattern(channel).literal:
            return check_name(channel)
    except InvalidName:
        pass
    raise ConfigurationError(f"channels= has {channel!r}, which is no channel: use a name such as 'orders'")
