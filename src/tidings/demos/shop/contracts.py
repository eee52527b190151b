"""What the services tell each other. An event carries all that its readers need, so that nobody has to ask back."""

from datetime import date
from decimal import Decimal

from tidings import event


@event("order:created", version=1, key="order_id")
class OrderCreated:
    """A customer has bought CDs."""

    order_id: int
    customer: int
    day: date
    cds: int  # the real data has no products, so stock is counted in CDs
    total: Decimal  # dollars


@event("stock:reserved", version=1, key="order_id")
class StockReserved:
    """The CDs of an order lie ready; with what payment needs to know."""

    order_id: int
    customer: int
    cds: int
    total: Decimal


@event("payment:captured", version=1, key="order_id")
class PaymentCaptured:
    """The money for an order is ours."""

    order_id: int
    customer: int
    total: Decimal
    receipt: str
