"""What a group has set aside, and what an owner of lanes must know of it."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from tidings.log.position import Position
from tidings.log.record import Record


class Parked(msgspec.Struct):
    """One event a group has set aside: `retry` (due later), `blocked` (waits behind its key) or `dead`."""

    order: int
    slot: int
    key: str | None
    event_id: str
    type: str
    state: Literal["retry", "blocked", "dead"]
    attempts: int = 0
    due: float = 0.0  # seconds since 1970 UTC
    reason: str = ""
    detail: str = ""  # a traceback, or what was expected
    parked_at: float = 0.0
    group: str = ""
    blocks: bool = True  # a dead letter of a rejected event, or of one without a key, holds nobody up
    record: Record | None = None
    changed_at: float = 0.0  # when it came into this state, in the log's own time: a dead letter's death
    change: int = 0  # the number of the change that brought it there, which rises where the log's time stands still
    position: Position = ""  # told to whoever asks; a settlement need not say it


class ParkedList(list[Parked]):
    """Some parked events, how many `more` there are than were asked for, and the number of the `latest` change."""

    def __init__(self, found: Iterable[Parked], more: int = 0, latest: int | None = None) -> None:
        super().__init__(found)
        self.more = more
        self.latest = max((one.change for one in self), default=0) if latest is None else latest


class Held(msgspec.Struct):
    """What an owner must know of its parked events: how many each key has, and when the first retry is due."""

    keys: dict[str, int]
    next_due: float | None
    blocked: int = 0
    passing: frozenset[int] = frozenset()  # orders ahead that an operator has set aside: they are passed over
