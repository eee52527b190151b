"""The records in what a server sends of a partition, as it lies on its disk: in batches, perhaps packed.

What a transaction wrote that was given up is left out, and so are Kafka's own marks in between.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from tidings.brokers.kafka.library import reader
from tidings.brokers.kafka.progress import Progress
from tidings.brokers.kafka.received import Received
from tidings.errors import BrokerError

_LENGTH: Final = 8  # where a batch says how much of it follows, in four bytes


class Fetched:
    """What one fetch brought of one partition, unpacked as it is drawn."""

    def __init__(self, progress: Progress, data: bytes, aborted: Sequence[tuple[int, int]]) -> None:
        self.progress = progress
        self.size = len(data)
        self.failure: BrokerError | None = None  # of what comes next: it cannot be read
        self._next = progress.fetched
        self._names: tuple[str, ...] = ()
        batches = _divided(data)
        self._records = _records(batches, aborted, progress.fetched)
        if batches and (last := _batch(batches[-1])).validate_crc():  # else nobody knows where it ends
            progress.fetched = max(last.next_offset, progress.fetched)

    def draw(self, at_most: int) -> list[Received]:
        """The next ones; fewer when it ends, or when there is a `failure`."""
        progress, names = self.progress, self._names
        topic, partition = progress.topic, progress.partition
        drawn: list[Received] = []
        try:
            for it in islice(self._records, at_most):
                headers = it.headers
                theirs, values = zip(*headers) if headers else ((), ())  # noqa: B905  # they are pairs, and to check costs
                if theirs != names:  # else one tuple for all that look alike
                    names = theirs
                drawn.append(Received(topic, partition, it.offset, it.key, it.value or b"", names, values, progress))
        except Exception as error:  # of aiokafka, or of whatever unpacks them
            place = f"{topic}/{partition}/{drawn[-1].offset + 1 if drawn else self._next}"
            self.failure = BrokerError(f"what came from {place} on cannot be read: {error or type(error).__name__}")
        self._names = names
        if drawn:
            self._next = drawn[-1].offset + 1
        return drawn


def _divided(data: bytes) -> deque[bytes]:
    """The batches in an answer, whose end may be cut off. Each is looked at alone: some may be of an old format."""
    batches: deque[bytes] = deque()
    begin = 0
    while len(data) >= begin + _LENGTH + 4:
        end = begin + _LENGTH + 4 + int.from_bytes(data[begin + _LENGTH : begin + _LENGTH + 4], signed=True)
        if not begin < end <= len(data):
            break
        batches.append(data[begin:end])
        begin = end
    return batches


def _batch(data: bytes) -> Any:
    return reader().records(data).next_batch()


def _records(batches: deque[bytes], aborted: Sequence[tuple[int, int]], since: int) -> Iterator[Any]:
    """The records that a reader is to see; the first batch comes whole, also when only its end was asked for."""
    given_up, is_first = _GivenUp(aborted), True
    while batches:
        batch = _batch(batches.popleft())  # let go of as it is read: unpacked it may be many times as large
        if not batch.validate_crc():
            raise reader().errors.CorruptRecordException("its checksum is another")
        if given_up.has(batch) or batch.is_control_batch:
            continue
        if is_first:
            is_first = False
            yield from (record for record in batch if record.offset >= since)
        else:
            yield from batch


class _GivenUp:
    """The producers whose transaction, at this place of the partition, comes to nothing."""

    def __init__(self, aborted: Sequence[tuple[int, int]]) -> None:
        self._coming = sorted(aborted, key=lambda each: each[1], reverse=True)  # a producer, and where it began
        self._producers: set[int] = set()

    def has(self, batch: Any) -> bool:
        """Is it of such a transaction? Asked of every batch in turn."""
        if batch.producer_id is None:  # it is older than transactions are
            return False
        while self._coming and self._coming[-1][1] <= batch.base_offset:
            self._producers.add(self._coming.pop()[0])
        if batch.producer_id not in self._producers:
            return False
        if batch.is_control_batch:
            self._producers.discard(batch.producer_id)  # its mark: here it ends
        return bool(batch.is_transactional)
