"""A Flask view that writes to its own table and tells of it: both are committed, or neither.

    $ flask --app flask_shop run                                          the shop
    $ tidings run flask_shop:app                                          its handlers, in a process of their own
    $ curl localhost:5000/orders -d item=lamp

Flask serves each request on a thread; `app.sync` may be used from all of them.
"""

import sqlite3
from typing import Any

from flask import Flask, abort, g, request

from tidings import App, Transaction, event

FILE = "shop.db"  # the shop's tables and its events
STOCK = {"lamp", "table"}


@event("order:placed", key="order_id")
class OrderPlaced:
    order_id: int
    item: str


app = App("shop", f"sqlite:///{FILE}")
web = Flask(__name__)


@app.on(OrderPlaced)
def pack(order: OrderPlaced, tx: Transaction) -> None:
    tx.execute("UPDATE orders SET packed = 1 WHERE id = ?", (order.order_id,), rows=1)


@web.post("/orders")
def place() -> tuple[dict[str, int], int]:
    item = request.form["item"]
    with app.sync.transaction(existing=database()) as tx:
        order_id = tx.execute("INSERT INTO orders(item) VALUES (?)", (item,)).lastrowid
        tx.publish(OrderPlaced(order_id, item))
        if item not in STOCK:
            abort(409, f"no {item} is left")  # raising takes back the row and the event
    return {"order_id": order_id}, 201


def database() -> sqlite3.Connection:
    if "database" not in g:
        g.database = sqlite3.connect(FILE)
        g.database.execute(
            "CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, item TEXT, packed INTEGER DEFAULT 0)"
        )
    connection: sqlite3.Connection = g.database
    return connection


@web.teardown_appcontext
def close(error: Any) -> None:
    if "database" in g:
        g.database.close()
