"""What an application needs of its broker, as far as it is known before the first event."""

from tests.handling.stage import AuditNoted, OrderCreated, StockReserved
from tidings import App, Event


def shop(**urls: str) -> App:
    app = App("shop", channels={"order:paid": "money"}, contracts=[AuditNoted], **urls)  # type: ignore[arg-type]

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on("order:paid", "customer:**", direct=True)
    async def quick(event: Event) -> None: ...

    @app.on("**", broadcast=True, direct=True)
    async def everybody(event: Event) -> None: ...

    return app


def test_with_a_log_the_application_hears_as_one_group() -> None:
    wanted = shop(log="memory:", broker="memory:bus").wanted()

    assert wanted.channels == ("customer", "money", "order", "stock")
    assert wanted.groups == (("shop.quick", ("order:paid", "customer:**")), ("shop", ("order:created",)))


def test_without_one_each_handler_is_a_group() -> None:
    wanted = shop(broker="memory:bus").wanted()

    assert dict(wanted.groups) == {
        "shop.quick": ("order:paid", "customer:**"),
        "shop.reserve": ("order:created",),
    }
