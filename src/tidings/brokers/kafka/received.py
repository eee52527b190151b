"""A message as it came, taken out of what its client made of it."""

from typing import TYPE_CHECKING, Any

import msgspec

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


def received(message: "Message") -> Received:
    """What a message says."""
    headers: Any = message.headers()
    names, values = zip(*headers) if headers else ((), ())  # noqa: B905
    return Received(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value() or b"",
        names,
        values,
    )
