"""Arrivals as items: what handlers are called with, without a log's record behind it."""

from collections.abc import Callable, Sequence
from typing import Any

from tidings.brokers import Arrival
from tidings.errors import ContractError
from tidings.events import DECODE_FAILURES, Catalog, Event
from tidings.events.envelope import is_json
from tidings.handling.delivery import Item
from tidings.log.position import START, Epoch, Position
from tidings.log.record import Record, draft, slot_of


class _Nowhere(Epoch, frozen=True):
    """What is in no log has no position."""

    def position(self, order: int) -> Position:
        return START


NOWHERE = _Nowhere(0, "")


class Arrivals:
    """The arrivals that one subscription has in hand, numbered as they came.

    Their records are lean: an envelope is written only for those that somebody asks more of than their data.
    """

    def __init__(self, catalog: Catalog, *, needs_slots: bool) -> None:
        self._catalog = catalog
        self._needs_slots = needs_slots
        self._count = 0
        self._in_hand: dict[int, Arrival] = {}
        self._decoders: dict[tuple[str, int], tuple[Callable[[bytes], Any], Callable[[bytes], Any] | None]] = {}

    def items(self, arrivals: Sequence[Arrival]) -> list[Item]:
        """Arrivals as items, decoded; one that cannot be decoded says why."""
        items: list[Item] = []
        in_hand, order = self._in_hand, self._count
        decode: Any = None
        again: Any = None
        known_type, known_version = "", 0
        for arrival in arrivals:
            notice = arrival.notice
            order += 1
            in_hand[order] = arrival
            type_, version, data = notice.type, notice.version, bytes(notice.data)
            slot = slot_of(notice.key or notice.id) if self._needs_slots else 0
            record = Record(order, type_, version, data, 0, slot)
            if type_ != known_type or version != known_version:
                known_type, known_version = type_, version
                decode, again = self._decoder(type_, version)
            try:
                items.append(Item(record, NOWHERE, decode(data), arrival.failure, again, False, arrival.attempt - 1))
            except Exception as error:  # a type's own code may raise anything
                failure = arrival.failure or self._failure(record, arrival.event, error)
                value = data if failure is None else None
                items.append(Item(record, NOWHERE, value, failure, None, False, arrival.attempt - 1))
        self._count = order
        return items

    async def complete(self, items: list[Item]) -> None:
        """Write the envelopes of lean records."""
        for item in items:
            record = item.record
            if record.envelope is None:
                written = draft(self._in_hand[record.order].event, public=False)
                record.envelope, record.checksum, record.slot = written.envelope, written.checksum, written.slot

    def take(self, orders: Sequence[int]) -> list[Arrival]:
        """These arrivals, which are in hand no more."""
        return [self._in_hand.pop(order) for order in orders]

    def _decoder(self, name: str, version: int) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any] | None]:
        found = self._decoders.get((name, version))
        if found is None:
            decode, contract = self._catalog.decoder(name, version), self._catalog.contract_for(name)
            found = decode, None if contract is not None and contract.shareable else decode
            if len(self._decoders) < 4096:  # a bound, so that foreign names cannot fill the memory
                self._decoders[name, version] = found
        return found

    def _failure(self, record: Record, event: Event, error: Exception) -> ContractError | None:
        """None: it is no JSON, says so of itself, and no contract knows better."""
        if not is_json(event.content_type) and self._catalog.contract_for(event.type) is None:
            return None
        if isinstance(error, DECODE_FAILURES):
            return self._catalog.translate(record.type, record.version, error)
        return ContractError(record.type, record.version, "$", f"{type(error).__name__}: {error}")
