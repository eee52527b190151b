"""Payment collects the money, from a gateway outside that fails now and then. This is the service that gets killed."""

from tidings import App, Delivery, Retry, Transaction
from tidings.demos.shop.contracts import PaymentCaptured, StockReserved
from tidings.demos.shop.gateway import GatewayDown, charge
from tidings.demos.shop.place import BUS, log_of, serve
from tidings.demos.shop.purchases import cents

app = App("payment", log=log_of("payment"), broker=BUS)


@app.on_start
async def table() -> None:
    """The service's own table, in its own file beside its events."""
    async with app.transaction() as tx:
        tx.execute("CREATE TABLE IF NOT EXISTS captured(order_id INTEGER, cents INTEGER, receipt TEXT)")


@app.on(StockReserved, retry=Retry(on=GatewayDown, attempts=10, inline=0, wait=0.2, longest=2.0))
async def capture(order: StockReserved, tx: Transaction, delivery: Delivery) -> PaymentCaptured:
    """An `async def` may wait for the world outside; what it writes is recorded, and committed when it returns.

    The gateway is not part of that commit. Killed between the two, we ask it again, with the same key as before.
    """
    receipt = await charge(order.order_id, cents(order.total), idempotency_key=delivery.idempotency_key)
    tx.execute("INSERT INTO captured VALUES (?, ?, ?)", (order.order_id, cents(order.total), receipt))
    return PaymentCaptured(order.order_id, order.customer, order.total, receipt)


if __name__ == "__main__":
    serve(app)
