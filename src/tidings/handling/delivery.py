"""`Delivery`: one event handed to one group, as a handler may ask to see it. `Item`: the same, as it is carried."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tidings.events import Event, derived_id
from tidings.log.position import Epoch, Position
from tidings.log.record import Record, restore


class Item(msgspec.Struct, gc=False):
    """A record on its way to handlers: decoded once, and shared between the groups of a process."""

    record: Record
    epoch: Epoch  # of the log it comes from
    value: Any = None
    failure: Exception | None = None  # why it could not be decoded
    decode: Callable[[bytes], Any] | None = None  # where the value can be changed by a handler
    parked: bool = False  # it comes from the parked events, and has been tried `attempts` times
    attempts: int = 0

    def fresh(self) -> "Item":
        """The same with its value as recorded, whatever a handler has done to it in a call that failed."""
        return self if self.decode is None else msgspec.structs.replace(self, value=self.decode(self.record.data))

    @property
    def position(self) -> Position:
        """Where it is recorded; made when it is asked for, as most are not."""
        return self.epoch.position(self.record.order)


Complete = Callable[[list[Item]], Awaitable[None]]  # lean records become whole ones


class Delivery(msgspec.Struct, frozen=True):
    """What a handler may know of the delivery of an event, by naming a parameter of this type."""

    event: Event
    group: str
    attempt: int  # 1 for the first call

    @property
    def idempotency_key(self) -> str:
        """The same at each attempt and in each process: hand it to what lies outside the log's transaction."""
        return derived_id(self.event.id, self.event.source, self.group)


class Current:
    """Which event a task or thread is handling: one cell each, so that setting it costs next to nothing."""

    __slots__ = ("complete", "group", "item", "task")

    def __init__(self, group: str, complete: Complete) -> None:
        self.group = group
        self.complete = complete
        self.item: Item | None = None
        self.task = _task()  # which awaits the handler; None on a thread


current: contextvars.ContextVar[Current | None] = contextvars.ContextVar("tidings_current", default=None)
handled: contextvars.ContextVar[Item | None] = contextvars.ContextVar("tidings_handled", default=None)


def cause() -> tuple[Item, Complete] | None:
    """The event that is handled where this is called, and what makes it whole.

    In a task that a handler has started it is the event the task was started for, however long it goes on: the cell has
    moved to others by then, and what was `handled` is the task's own.
    """
    cell = current.get()
    if cell is None:
        return None
    item = cell.item if cell.task is None or cell.task is _task() else handled.get()
    return None if item is None else (item, cell.complete)


def _task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return None


def event_of(item: Item) -> Event:
    """The whole event of an item, with its decoded data."""
    return restore(item.record, item.position, item.value)
