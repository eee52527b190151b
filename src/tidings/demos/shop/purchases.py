"""The real purchases: lines of the data file, and what they say."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from tidings.demos.shop.contracts import OrderCreated

_DATA = Path(__file__).with_name("data") / "cdnow_sample.txt"


class Totals(msgspec.Struct, frozen=True):
    """What has to come out in the end."""

    orders: int
    cds: int
    cents: int


def lines(count: int | None = None) -> list[str]:
    """The first `count` purchases, each with its number, which becomes the order's, in front."""
    with _DATA.open(encoding="ascii") as file:
        return [f"{number} {line.strip()}\n" for number, line in enumerate(file, 1)][:count]


def purchase(line: str) -> OrderCreated:
    """One line as an order."""
    number, _, customer, day, cds, dollars = line.split()
    return OrderCreated(int(number), int(customer), date.fromisoformat(day), int(cds), Decimal(dollars))


def totals(purchases: list[str]) -> Totals:
    """Added up straight from the file, past all services."""
    orders = [purchase(line) for line in purchases]
    return Totals(len(orders), sum(order.cds for order in orders), sum(cents(order.total) for order in orders))


def cents(dollars: Decimal) -> int:
    """Whole cents, exactly."""
    return int(dollars * 100)
