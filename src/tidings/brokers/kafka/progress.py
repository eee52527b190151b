"""How far a member is in a partition: what it was handed and has not settled, and up to where all is settled."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import confluent_kafka

    from tidings.brokers.kafka.received import Received


Place = tuple[str, int]  # a topic and a partition


class Progress:
    """One partition, while it is this member's. Offsets are settled in any order, the lowest open one is committed."""

    __slots__ = ("committed", "fetched", "is_ours", "open", "partition", "place", "position", "topic")

    def __init__(self, topic: str, partition: int, committed: int) -> None:
        self.place = topic, partition
        self.topic = topic
        self.partition = partition
        self.fetched = committed  # behind the last one that has come
        self.committed = committed
        self.position = committed  # behind the last one handed over
        self.open: dict[int, None] = {}  # rising, as they are handed over
        self.is_ours = True

    def hand_over(self, messages: "list[Received]") -> None:
        """These are open until they are settled."""
        if messages:
            self.open.update(dict.fromkeys([each.offset for each in messages]))
            self.position = messages[-1].offset + 1

    @property
    def low(self) -> int:
        """The offset with which whoever comes next has to begin."""
        return next(iter(self.open), self.position)

    @property
    def is_behind(self) -> bool:
        """Is more settled than committed?"""
        return self.low > self.committed


class Held(dict[tuple[str, int], Progress]):
    """The partitions of a member. The event loop hands over and settles, its thread gives and takes partitions."""

    @property
    def unsettled(self) -> int:
        """How many messages are handed over and not settled."""
        return sum(len(progress.open) for progress in self.copied())

    def copied(self) -> list[Progress]:
        """All of them at this moment."""
        return list(self.values())

    def behind(self) -> list[Progress]:
        """Those with something to commit."""
        return [progress for progress in self.copied() if progress.is_behind]

    def take(self, places: "list[confluent_kafka.TopicPartition]") -> list[Progress]:
        """Those of these places."""
        found = [self.get((place.topic, place.partition)) for place in places]
        return [progress for progress in found if progress is not None]

    def give_up(self, taken: list[Progress]) -> None:
        """They are somebody else's: what is settled of them from now on is settled for nobody."""
        for progress in taken:
            progress.is_ours = False
            progress.open = {}
            self.pop((progress.topic, progress.partition), None)
