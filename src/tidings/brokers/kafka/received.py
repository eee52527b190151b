"""A message as it came, taken out of the client's object: so many of those would keep the garbage collector busy."""

from typing import TYPE_CHECKING, Any

import msgspec

from tidings.brokers.kafka.progress import Progress

if TYPE_CHECKING:
    from confluent_kafka import Message


class Received(msgspec.Struct, gc=False):
    """A message, and where it lies."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    names: tuple[str, ...]  # of its headers
    values: tuple[Any, ...]  # bytes, and None where a producer said nothing
    progress: Any = None  # of its partition, as a member reads it: a `Progress`

    @property
    def place(self) -> str:
        """Where it lies, in one word."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Its headers."""
        pairs = zip(self.names, self.values, strict=True)
        return [(name, value if isinstance(value, bytes) else b"") for name, value in pairs]


def received(message: "Message", progress: Progress | None = None) -> Received:
    """What a message says."""
    headers: Any = message.headers()
    names, values = zip(*headers) if headers else ((), ())  # noqa: B905  # they are pairs, and to check costs a third
    return Received(
        progress.topic if progress is not None else str(message.topic()),
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value() or b"",
        names,
        values,
        progress,
    )
