"""The payment gateway: the world outside, with a memory of its own. It fails now and then, and knows a key again."""

import asyncio
import functools
import sqlite3

from tidings.demos.shop.place import FOLDER

PATH = f"{FOLDER}/gateway.db"
_TABLE = """
CREATE TABLE IF NOT EXISTS charges(
  key TEXT PRIMARY KEY, order_id INTEGER, cents INTEGER, calls INTEGER NOT NULL, charged INTEGER NOT NULL DEFAULT 0)"""
_CALLED = """
INSERT INTO charges(key, order_id, cents, calls) VALUES (?, ?, ?, 1)
ON CONFLICT (key) DO UPDATE SET calls = calls + 1 RETURNING calls"""
_CHARGED = "UPDATE charges SET charged = 1 WHERE key = ?"


class GatewayDown(Exception):
    """No answer; worth another try."""


async def charge(order_id: int, cents: int, *, idempotency_key: str) -> str:
    """Take the money, once a key however often it is asked, and give a receipt.

    Raises:
        GatewayDown: for one order in forty, at the first two calls.
    """
    return await asyncio.to_thread(_charge, order_id, cents, idempotency_key)


def _charge(order_id: int, cents: int, key: str) -> str:
    connection = _connection()
    (calls,) = connection.execute(_CALLED, (key, order_id, cents)).fetchone()
    if order_id % 40 == 7 and calls <= 2:
        raise GatewayDown(f"the gateway did not answer for order {order_id}")
    connection.execute(_CHARGED, (key,))
    return f"receipt-{key[:8]}"


@functools.cache
def _connection() -> sqlite3.Connection:
    connection = sqlite3.connect(PATH, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # it outlives our being killed, and that is what we look at
    connection.execute(_TABLE)
    return connection
