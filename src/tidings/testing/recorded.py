"""`Recorded`: all there is in the log of an application under test, as it comes."""

import asyncio
from typing import Any

import msgspec

from tidings.errors import ContractError
from tidings.events import Catalog, Event
from tidings.log import START, Log, Record
from tidings.log.group import LANES
from tidings.log.record import restore
from tidings.testing.events import Events
from tidings.testing.wanted import Words


class Recorded:
    """Follows a log and keeps every event, its data decoded."""

    def __init__(self, log: Log, catalog: Catalog, words: Words, source: str | None = None) -> None:
        self.events = Events(words)
        self._log = log
        self._catalog = catalog
        self._source = source  # whose events are shown; None: everybody's
        self._by_order: dict[int, Event] = {}
        self._lanes: dict[int, int] = {}
        self._seen = START
        self._looking = asyncio.Lock()

    async def catch_up(self) -> None:
        """Read what has come since."""
        async with self._looking:
            at_head = False
            while not at_head:
                found = await self._log.scan(self._seen)
                events = {each.order: self._restored(each, found.position(each)) for each in found.records}
                self._by_order |= events
                self._lanes |= {each.order: each.slot % LANES for each in found.records}
                self.events.extend(event for event in events.values() if self._source in (None, event.source))
                self._seen, at_head = found.upto, found.at_head

    def event(self, order: int) -> Event:
        """The event of an order that was caught up with."""
        return self._by_order[order]

    def order_of(self, id: str) -> int:
        """The order of the latest event that has this id."""
        return max(order for order, event in self._by_order.items() if event.id == id)

    def lane(self, order: int) -> int:
        """The lane of that event; a reader who reads lean is not told of it."""
        return self._lanes[order]

    def after(self, order: int) -> list[Event]:
        """Every event past an order, those not shown included."""
        return [event for each, event in self._by_order.items() if each > order]

    def readable(self, event: Event) -> Event:
        """An event on its way, with its data as handlers see it."""
        if not isinstance(event.data, msgspec.Raw):
            return event
        return msgspec.structs.replace(event, data=self._decoded(event.type, event.version, event.data))

    def _restored(self, record: Record, position: str) -> Event:
        return restore(record, position, self._decoded(record.type, record.version, record.data))

    def _decoded(self, type: str, version: int, data: Any) -> Any:
        try:
            return self._catalog.reader(type, version)(data)
        except ContractError:  # as the handlers meet it, which say so in their dead letters
            return data
