"""The durable consumers of a group: one of each partition that it hears, and one of what it has again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidings.brokers.nats.names import Names, consumer
from tidings.brokers.nats.wire import NO_CONSUMER, NO_STREAM, JetStreamError, Wire

AGAIN: Final = "=again"  # stands for a channel, with one partition: what a group has again after it gave it up
Place = tuple[str, int]  # a channel's partition
_Question = tuple[str, object]


def stream_of(place: Place, names: Names) -> str:
    """The stream in which a partition lies."""
    return names.letters if place[0] == AGAIN else names.stream(place[0])


def places_of(partitions: Mapping[str, int]) -> list[Place]:
    """All partitions of channels that have so many."""
    return [(channel, number) for channel, count in sorted(partitions.items()) for number in range(count)]


def settings(patience: float, start: str) -> dict[str, Any]:
    """How all consumers are set. What nobody gave a sign of for `patience` seconds is handed over again."""
    return {
        "deliver_policy": "new" if start == "latest" else "all",
        "ack_policy": "explicit",
        "ack_wait": int(patience * 1e9),
        "max_ack_pending": -1,
        "max_deliver": -1,
        "replay_policy": "instant",
    }


class Consumers:
    """Those of one group."""

    def __init__(self, wire: Wire, names: Names, group: str) -> None:
        self._wire = wire
        self._names = names
        self._group = group

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """The partitions of which it has none."""
        asked: list[_Question] = [
            (f"CONSUMER.INFO.{stream_of(place, self._names)}.{consumer(self._group, place[1])}", None)
            for place in places
        ]
        missing = []
        for place, info in zip(places, await self._wire.try_all(asked), strict=True):
            if isinstance(info, JetStreamError):
                if info.code not in (NO_CONSUMER, NO_STREAM):
                    raise info
                missing.append(place)
        return missing

    async def have(self, places: Sequence[Place], start: str) -> None:
        """Make those that are missing; those that are there stay where they are."""
        questions = [self._making(place, start) for place in await self.missing(places)]
        if questions:
            await self._wire.api_all(questions)

    def _making(self, place: Place, start: str) -> _Question:
        stream, name = stream_of(place, self._names), consumer(self._group, place[1])
        is_again = place[0] == AGAIN
        heard = self._names.again(self._group) if is_again else self._names.partition(*place)
        config = settings(self._wire.settings.patience, "earliest" if is_again else start)
        config |= {"durable_name": name, "filter_subject": heard}
        return f"CONSUMER.DURABLE.CREATE.{stream}.{name}", {"stream_name": stream, "config": config}
