"""Errors of what is read event by event: a listener, an input, an iterator."""

from tidings.errors.root import TidingsError


class UnreadableEvent(TidingsError):
    """A listener met an event it cannot decode: `position`, `type`, `reason`. Reading on goes on behind it."""

    def __init__(self, position: str, type: str, reason: str) -> None:
        self.position = position
        self.type = type
        self.reason = reason
        super().__init__(
            f"{type} at {position} cannot be read: {reason}; read on to pass it over, or listen with undecodable='skip'"
        )


class InvalidLine(TidingsError, ValueError):
    """A line of input that is no event: `number`, from 1, `reason`, and the `text` as it came."""

    def __init__(self, number: int, reason: str, text: str = "") -> None:
        self.number = number
        self.reason = reason
        self.text = text
        super().__init__(f"line {number} was not published: {reason}")


class StreamOverflow(TidingsError):
    """What is pushed into an iterator came faster than it was read, and it was ended: `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit} items were waiting unread when another came: read faster, raise limit=, or choose what to drop"
            " with overflow="
        )
