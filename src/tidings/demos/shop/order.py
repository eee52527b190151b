"""Order takes what customers buy, here line by line from its input, and says so to whom it concerns."""

import asyncio
import sys

from tidings import App
from tidings.demos.shop.contracts import OrderCreated
from tidings.demos.shop.place import BUS, log_of, serve
from tidings.demos.shop.purchases import cents, purchase

app = App("order", log=log_of("order"), broker=BUS, contracts=[OrderCreated])


@app.on_start
async def table() -> None:
    """No table of the shop is UNIQUE by order: that nothing is done twice is for tidings to ensure, not for SQL."""
    async with app.transaction() as tx:
        tx.execute("CREATE TABLE IF NOT EXISTS orders(order_id INTEGER, cds INTEGER, cents INTEGER)")


async def take_orders() -> None:
    """The order and the news of it are committed together, or neither is: this is the outbox."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = purchase(line)
        async with app.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (?, ?, ?)", (order.order_id, order.cds, cents(order.total)))
            tx.publish(order)


if __name__ == "__main__":
    serve(app, beside=take_orders)
