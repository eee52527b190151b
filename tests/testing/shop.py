"""A small shop, as a user would write it: the application that the test kit is tried on."""

from collections import Counter

from tidings import App, Delivery, Reject, Retry, Transaction, event


@event("order:created", key="order_id")
class OrderCreated:
    order_id: int
    cds: int = 1


@event("stock:reserved", key="order_id")
class StockReserved:
    order_id: int
    cds: int = 1


@event("payment:captured", key="order_id")
class PaymentCaptured:
    order_id: int


class Gateway:
    """The world outside: it counts what it was asked for, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.charged: Counter[int] = Counter()
        self.keys: set[str] = set()
        self.failures = 0

    def charge(self, order_id: int, idempotency_key: str | None = None) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the gateway is away")
        if idempotency_key is None or idempotency_key not in self.keys:
            self.charged[order_id] += 1
        if idempotency_key is not None:
            self.keys.add(idempotency_key)


def new_shop(gateway: Gateway, *, careful: bool = True, log: str | None = None, broker: str | None = None) -> App:
    """Stock is reserved, then payment captured; `careful` hands the gateway an idempotency key."""
    app = App("shop", log=log, broker=broker)

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        if order.cds < 1:
            raise Reject(f"order {order.order_id} is empty")
        return StockReserved(order.order_id, order.cds)

    @app.on(StockReserved, retry=Retry(on=ConnectionError, attempts=8, wait=10.0, factor=2.0, jitter=0.0))
    async def capture(stock: StockReserved, delivery: Delivery) -> PaymentCaptured:
        gateway.charge(stock.order_id, delivery.idempotency_key if careful else None)
        return PaymentCaptured(stock.order_id)

    return app


def new_warehouse() -> App:
    """A service that keeps a table of its own, in the log's database."""
    app = App("warehouse")

    @app.on_start
    async def table() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS reserved(order_id INTEGER)")

    @app.on(OrderCreated)
    def reserve(order: OrderCreated, tx: Transaction) -> StockReserved:
        tx.execute("INSERT INTO reserved VALUES (?)", (order.order_id,))
        return StockReserved(order.order_id)

    return app
