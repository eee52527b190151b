"""Three services in a world that fails, and where to look in a trace of what they did."""

from typing import Any

from tests.handling.stage import OrderCreated, StockReserved
from tidings import App, Event, Retry, event
from tidings.handling.trace import Reception, Trace, Traced


@event("payment:taken", key="order_id")
class PaymentTaken:
    order_id: int


class World:
    """What the services outside are like now."""

    def __init__(self) -> None:
        self.refusals = 0  # of the payment gateway, in a row
        self.addresses = True


def services(app: App, world: World) -> None:
    """Three services' worth of handlers: stock, payment and mail."""

    @app.on(OrderCreated)
    async def stock(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on(StockReserved, retry=Retry(attempts=5, inline=0, wait=10.0, jitter=0.0))
    async def payment(reserved: StockReserved) -> list[PaymentTaken]:
        if world.refusals:
            world.refusals -= 1
            raise ConnectionError("the gateway is away")
        return [PaymentTaken(reserved.order_id)]

    @app.on(OrderCreated, PaymentTaken, retry=Retry(attempts=1))
    async def mail(data: Any, happened: Event) -> None:
        if not world.addresses:
            raise ValueError("no address")

    @app.on(PaymentTaken)
    async def audit(taken: PaymentTaken) -> None: ...


async def forget(order: Any) -> None:
    """A handler without an effect."""


def by_type(trace: Trace, name: str) -> Traced:
    (found,) = [event for event in trace.events() if event.type == name]
    return found


def group(event: Traced, name: str) -> Reception:
    (found,) = [each for each in event.receptions if each.group == name]
    return found


def story(reception: Reception) -> list[str]:
    return [step.what for step in reception.steps]
