"""Notification thanks the customer. It has a bug, and one order that meets it."""

from tidings import App, Retry, Transaction
from tidings.demos.shop.contracts import PaymentCaptured
from tidings.demos.shop.place import BUS, POISON, log_of, serve

app = App("notification", log=log_of("notification"), broker=BUS)


@app.on_start
async def table() -> None:
    """The service's own table, in its own file beside its events."""
    async with app.transaction() as tx:
        tx.execute("CREATE TABLE IF NOT EXISTS letters(order_id INTEGER, text TEXT)")


@app.on(PaymentCaptured, retry=Retry(attempts=4, wait=0.2))
def thank(payment: PaymentCaptured, tx: Transaction) -> None:
    """One letter an order. The poisonous one ends in the dead letters, and holds nobody up: its key is the order."""
    text = f"Dear {name_of(payment)}, thank you for {payment.total} dollars; your receipt is {payment.receipt}."
    tx.execute("INSERT INTO letters VALUES (?, ?)", (payment.order_id, text))


def name_of(payment: PaymentCaptured) -> str:
    """No repeat will cure this one: somebody has to mend it, and then `tidings dead retry`."""
    names = {} if payment.order_id == POISON else {payment.customer: f"customer {payment.customer}"}
    return names[payment.customer]


if __name__ == "__main__":
    serve(app)
