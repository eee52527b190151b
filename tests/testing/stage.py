"""What tests of flow control share: a handler that notes when it is called, and what is said of events."""

from typing import Any

from tests.testing.shop import OrderCreated
from tidings import App, Retry
from tidings.testing import TestApp

NEVER = Retry(attempts=1, inline=0)
LATER = Retry(on=ConnectionError, attempts=20, inline=0, wait=10.0, factor=1.0, jitter=0.0)


def shop(calls: list[Any], **settings: Any) -> App:
    """One handler, which notes what it is called with and when."""
    app = App("shop", "memory:")

    @app.on(OrderCreated, **settings)
    async def take(order: OrderCreated) -> None:
        calls.append((order.order_id, round(app.clock.monotonic(), 3)))

    return app


async def publish(test: TestApp, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        await test.publish(OrderCreated(number))


def ids(outcomes: Any) -> list[int]:
    return [each.event.data.order_id for each in outcomes]
