"""Handlers of every form are given what their signatures ask for; what nobody gives is refused in one sentence."""

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.handling.stage import AuditNoted, Heard, OrderCreated, StockReserved
from tidings import App, Delivery, Event, Transaction
from tidings.errors import ConfigurationError
from tidings.events import derived_id
from tidings.handling.form import form_of


async def test_a_handler_is_given_the_data_as_its_contracts_type(app: App) -> None:
    heard = Heard[OrderCreated]()

    @app.on(OrderCreated)
    async def show(order: OrderCreated) -> None:
        heard.note(order)

    async with app.running():
        await app.publish(OrderCreated(7))
        assert await heard.reach(1) == [OrderCreated(7)]


async def test_a_handler_without_annotation_is_given_plain_data(app: App) -> None:
    heard = Heard[Any]()

    @app.on("order:created")
    async def show(order):  # type: ignore[no-untyped-def]
        heard.note(order)

    async with app.running():
        await app.publish("order:created", {"order_id": 7})
        assert await heard.reach(1) == [{"order_id": 7}]


async def test_a_handler_is_given_the_event_and_its_delivery(app: App) -> None:
    heard = Heard[tuple[Event, Delivery]]()

    @app.on(OrderCreated, group="shown")
    async def show(event: Event, delivery: Delivery) -> None:
        heard.note((event, delivery))

    async with app.running():
        published = await app.publish(OrderCreated(7), subject="order 7")
        [(event, delivery)] = await heard.reach(1)

    assert (event.id, event.position, event.subject) == (published.id, published.position, "order 7")
    assert event.data == OrderCreated(7)
    assert (delivery.event, delivery.group, delivery.attempt) == (event, "shown", 1)


async def test_the_idempotency_key_belongs_to_the_event_of_its_source_and_to_the_group(app: App) -> None:
    event = Event(id="1", source="a", type="order:created")

    key = Delivery(event, "g", 1).idempotency_key

    assert key == Delivery(event, "g", 5).idempotency_key == derived_id("1", "a", "g")
    assert key != Delivery(event, "h", 1).idempotency_key
    assert key != Delivery(Event(id="1", source="b", type="order:created"), "g", 1).idempotency_key


async def test_a_plain_function_is_called_with_data_event_and_delivery(app: App) -> None:
    heard = Heard[tuple[OrderCreated, Event, Delivery]]()

    @app.on()
    def show(order: OrderCreated, event: Event, delivery: Delivery) -> None:
        heard.note((order, event, delivery))

    async with app.running():
        await app.publish(OrderCreated(7))
        [(order, event, delivery)] = await heard.reach(1)

    assert order == event.data == OrderCreated(7)
    assert delivery.group == "shop.show"


async def test_an_object_that_can_be_called_is_a_handler(app: App) -> None:
    class Show:
        def __init__(self) -> None:
            self.heard = Heard[OrderCreated]()

        async def __call__(self, order: OrderCreated) -> None:
            self.heard.note(order)

    show = Show()
    app.on()(show)

    async with app.running():
        await app.publish(OrderCreated(7))
        assert await show.heard.reach(1) == [OrderCreated(7)]
    assert [each.name for each in app.subscriptions] == ["shop.Show"]


async def test_a_bound_method_and_a_partial_are_handlers(app: App) -> None:
    heard = Heard[str]()

    class Desk:
        async def show(self, order: OrderCreated) -> None:
            heard.note("method")

    async def show(order: OrderCreated, *, where: str) -> None:
        heard.note(where)

    app.on()(Desk().show)
    app.on(group="partial")(functools.partial(show, where="partial"))

    async with app.running():
        await app.publish(OrderCreated(7))
        assert sorted(await heard.reach(2)) == ["method", "partial"]


def test_parameters_with_a_default_are_left_alone() -> None:
    async def show(order: OrderCreated, color: str = "red", *rest: Any, loud: bool = False, **more: Any) -> None: ...

    form = form_of(show)

    assert form.wants == ("data",)
    assert form.is_plain
    assert form.data_type is OrderCreated


def test_tx_is_found_by_its_name_and_by_its_type() -> None:
    def by_name(order: OrderCreated, tx: Any) -> None: ...

    def by_type(order: OrderCreated, transaction: Transaction) -> None: ...

    assert form_of(by_name).uses_tx
    assert form_of(by_type).uses_tx


def test_contracts_in_the_return_annotation_are_known() -> None:
    async def one(order: OrderCreated) -> StockReserved: ...  # type: ignore[empty-body]

    async def some(order: OrderCreated) -> list[StockReserved | AuditNoted] | None: ...

    assert form_of(one).returned == (StockReserved,)
    assert form_of(some).returned == (StockReserved, AuditNoted)


def _handlers() -> list[Any]:
    async def nothing() -> None: ...

    async def too_much(order: OrderCreated, color: str) -> None: ...

    async def by_keyword(order: OrderCreated, *, color: str) -> None: ...

    async def unknown(order: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    def yields(order: OrderCreated) -> Iterator[StockReserved]:
        yield StockReserved(1)

    async def yields_later(order: OrderCreated) -> AsyncIterator[StockReserved]:
        yield StockReserved(1)

    return [nothing, too_much, by_keyword, unknown, yields, yields_later, "show"]


@pytest.mark.parametrize("handler", _handlers(), ids=lambda each: getattr(each, "__name__", repr(each)))
def test_a_handler_that_cannot_be_called_is_refused_in_one_sentence(handler: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        App("shop").on(OrderCreated)(handler)

    told = str(refused.value)
    assert getattr(handler, "__name__", "show") in told
    assert "\n" not in told
