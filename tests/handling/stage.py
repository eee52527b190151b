"""What tests of handling share: a few contracts, what handlers heard, and waiting for what must come about."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from tidings import App, Event, event
from tidings.clock import ManualClock
from tidings.events import Catalog
from tidings.log import Log, Parked
from tidings.log.record import restore

BOUND = 30.0  # seconds that a test waits for anything at most
Value = TypeVar("Value")


@event("order:created", key="order_id")
class OrderCreated:
    order_id: int
    total: str = "1.00"


@event("stock:reserved")
class StockReserved:
    order_id: int


@event("audit:noted", public=False)
class AuditNoted:
    order_id: int


class Heard(list[Value], Generic[Value]):
    """What a handler was called with; also from its own thread."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def note(self, value: Value) -> None:
        self.append(value)
        self._loop.call_soon_threadsafe(self._news.set)

    async def reach(self, count: int) -> "Heard[Value]":
        async with asyncio.timeout(BOUND):
            while len(self) < count:
                self._news.clear()
                await self._news.wait()
        return self


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return when `holds` does, where nobody tells of it."""
    async with asyncio.timeout(BOUND):
        for _ in range(int(BOUND / 0.005)):
            if await holds():
                return
            await asyncio.sleep(0.005)
    raise TimeoutError


async def until(holds: Callable[[], Awaitable[bool]], log: Log) -> None:
    """Return when `holds` does."""
    ear = log.bell.listen()
    try:
        async with asyncio.timeout(BOUND):
            while not await holds():
                await ear.wait(0.01)
    finally:
        log.bell.forget(ear)


async def parked(app: App, *states: str, group: str | None = None) -> list[Parked]:
    """What is parked, once it is in these states, oldest first."""
    found: list[Parked] = []

    async def is_so() -> bool:
        found[:] = await app.log.ledger.parked(group)
        return [one.state for one in found] == list(states)

    try:
        await until(is_so, app.log)
    except TimeoutError:
        raise AssertionError(f"expected {states}, got {[(one.key, one.state, one.reason) for one in found]}") from None
    return found


async def caught_up(app: App, group: str | None = None) -> None:
    """Return when every group (or one) has answered all there is."""

    async def is_so() -> bool:
        groups = await app.log.ledger.groups()
        return all(not each.lag and not each.retry for each in groups if group in (None, each.name))

    await until(is_so, app.log)


async def recorded(log: Log, name: str | None = None) -> list[Event]:
    """All events of a log, or those of a name, with plain data."""
    found = await log.scan("", limit=10_000)
    read = Catalog.collect().reader
    return [
        restore(record, found.position(record), read(record.type, record.version)(record.data))
        for record in found.records
        if name in (None, record.type)
    ]


def pass_time(app: App, seconds: float) -> None:
    """Move the manual clock, and have the readers look at it."""
    assert isinstance(app.clock, ManualClock)
    app.clock.advance(seconds)
    app.log.bell.ring()


def facts(caplog: Any, what: str) -> list[dict[str, Any]]:
    """The facts of the log lines of one kind."""
    return [record.tidings for record in caplog.records if getattr(record, "tidings", {}).get("what") == what]
