"""Contracts as a user writes them; mypy and pyright both have to accept every line."""

import dataclasses
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type

from tidings.events import Catalog, Contract, Event, contract, contract_of, event, upcast


@event("shop:address")
class Address:
    city: str
    street: str | None = None


@event("order:created", version=2, key="order_id", owner="sales", personal=["address"])
class OrderCreated:
    order_id: int
    total: Decimal
    address: Address
    lines: tuple[str, ...] = ()
    placed_at: datetime | None = None

    @property
    def is_large(self) -> bool:
        return self.total > 100


@event("stock:reserved.v1", public=False)
class StockReserved:
    order_id: int


@dataclasses.dataclass(frozen=True)
class Shipment:
    order_id: int


shipped = contract("order:shipped", Shipment, version=1)


@upcast(OrderCreated, from_version=1)
def address_was_added(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "address": {"city": "unknown"}}


@upcast(shipped, from_version=1, to_version=2)
def renamed(data: dict[str, Any]) -> Shipment:
    return Shipment(data["order"])


async def reserve_stock(order: OrderCreated) -> StockReserved:
    return StockReserved(order.order_id)


order = OrderCreated(42, Decimal("39.90"), Address("Ulm"))
by_name = OrderCreated(order_id=42, total=Decimal(1), address=Address(city="Ulm", street=None), lines=("a", "b"))
assert_type(order.total, Decimal)
assert_type(order.is_large, bool)
assert_type(order.address.street, str | None)
assert_type(order == by_name, bool)
assert_type(contract_of(order), Contract | None)
assert_type(renamed({"order": 1}), Shipment)

envelope = Event(source="shop", type="order:created", data={"order_id": 42}, headers={"tenant": "north"}).checked()
assert_type(envelope.delivery_key, str)
catalog = Catalog.collect(OrderCreated, StockReserved)
