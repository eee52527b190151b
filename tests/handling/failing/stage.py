"""A handler that fails as often as it is told, and an application that does not wait."""

from tests.handling.conftest import NewApp
from tests.handling.stage import Heard, OrderCreated
from tidings import App, Delivery, Retry

LATER = Retry(inline=0, attempts=3, wait=10.0, jitter=0.0)


class Failing:
    """A handler that fails for an order as often as it is told, and notes what succeeds."""

    def __init__(self, **times: int) -> None:
        self.left = {int(order.removeprefix("order")): count for order, count in times.items()}
        self.calls = Heard[tuple[int, int]]()  # order, attempt
        self.done = Heard[OrderCreated]()

    def __call__(self, order: OrderCreated, delivery: Delivery) -> None:
        self.calls.note((order.order_id, delivery.attempt))
        if self.left.get(order.order_id, 0):
            self.left[order.order_id] -= 1
            raise OSError(f"order {order.order_id} fails")
        self.done.note(order)

    def on(self, app: App, *, sync: bool, retry: Retry = LATER, on_dead: str = "block") -> None:
        async def awaited(order: OrderCreated, delivery: Delivery) -> None:
            self(order, delivery)

        def called(order: OrderCreated, delivery: Delivery) -> None:
            self(order, delivery)

        app.on(group="g", retry=retry, on_dead=on_dead)(called if sync else awaited)  # type: ignore[arg-type]


def impatient(new_app: NewApp) -> App:
    """An application whose clock does not wait: repeats on the spot follow at once."""
    app = new_app()

    async def sleep(seconds: float) -> None: ...

    app.clock.sleep = sleep  # type: ignore[method-assign]
    return app


async def attempted(app: App, attempts: int) -> bool:
    return [one.attempts for one in await app.log.ledger.parked()] == [attempts]
