"""Inventory sets the CDs of each order aside."""

from tidings import App, Transaction
from tidings.demos.shop.contracts import OrderCreated, StockReserved
from tidings.demos.shop.place import BUS, log_of, serve

app = App("inventory", log=log_of("inventory"), broker=BUS)


@app.on_start
async def table() -> None:
    """The service's own table, in its own file beside its events."""
    async with app.transaction() as tx:
        tx.execute("CREATE TABLE IF NOT EXISTS reserved(order_id INTEGER, cds INTEGER)")


@app.on(OrderCreated)
def reserve(order: OrderCreated, tx: Transaction) -> StockReserved:
    """Our row, the event we return and our place in the log are one commit: killed anywhere, all or none is there."""
    tx.execute("INSERT INTO reserved VALUES (?, ?)", (order.order_id, order.cds))
    return StockReserved(order.order_id, order.customer, order.cds, order.total)


if __name__ == "__main__":
    serve(app)
