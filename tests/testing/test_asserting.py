"""What a test is told when what it claims is not so."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.testing.shop import Gateway, OrderCreated, PaymentCaptured, StockReserved, new_shop
from tidings import App, Event, Retry, event
from tidings.errors import ConfigurationError
from tidings.testing import TestApp


@event("cart:emptied")
class CartEmptied:
    lines: list[dict[str, int]]
    customer: str


def failure(claim: Callable[[], Any]) -> str:
    with pytest.raises(AssertionError) as failed:
        claim()
    print(failed.value)
    return str(failed.value)


@pytest.fixture
def shop() -> App:
    return new_shop(Gateway())


async def test_what_was_published_is_found_by_value_class_name_and_fields(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1, cds=2))
        await test.publish("order:noted", {"order_id": 1, "by": "Ann"})
        await test.settle()

        assert test.assert_published(StockReserved(1, cds=2)).data == StockReserved(1, cds=2)
        test.assert_published(StockReserved, order_id=1)
        test.assert_published(StockReserved, times=1)
        test.assert_published("order:noted", by="Ann")
        test.assert_published("order:*", times=2)
        test.assert_published(PaymentCaptured(9), times=0)
        test.assert_published(Event(source="shop", type="order:noted", data={"order_id": 1, "by": "Ann"}))
        test.assert_not_published(PaymentCaptured, order_id=2)


async def test_the_nearest_event_is_shown_with_each_field_that_differs(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1, cds=2))
        await test.settle()

        told = failure(lambda: test.assert_published(StockReserved(1, cds=3)))

    assert told.splitlines() == [
        "expected to be published:",
        "  stock:reserved  StockReserved(order_id=1, cds=3)",
        "published instead (3):",
        "  order:created  OrderCreated(order_id=1, cds=2)",
        "  stock:reserved  StockReserved(order_id=1, cds=2)  <- nearest",
        "  payment:captured  PaymentCaptured(order_id=1)",
        "the nearest differs:",
        "  cds: expected 3, was 2",
    ]


async def test_fields_differ_by_their_path(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(CartEmptied([{"cd": 1, "count": 1}, {"cd": 2, "count": 1}], "Ann"))

        told = failure(lambda: test.assert_published(CartEmptied([{"cd": 1, "count": 1}, {"cd": 2}], "Bob")))

    assert told.endswith(
        "the nearest differs:\n  lines[1].count: expected (absent), was 1\n  customer: expected 'Bob', was 'Ann'"
    )


async def test_how_often_is_part_of_the_claim(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1))

        told = failure(lambda: test.assert_published(OrderCreated, times=2))

    assert told.startswith("expected to be published 2 times, and was 1 times:\n  order:created  any OrderCreated")


async def test_what_was_published_against_the_claim_is_shown_with_its_cause(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1))
        await test.settle()

        told = failure(lambda: test.assert_not_published(StockReserved))

    assert told.endswith(
        "it was:\n  stock:reserved  StockReserved(order_id=1, cds=1)\n"
        "    caused by order:created  OrderCreated(order_id=1, cds=1)"
    )


async def test_dead_letters_are_shown_with_the_line_that_raised(shop: App) -> None:
    async with TestApp(shop, raise_dead=False) as test:
        await test.publish(OrderCreated(1, cds=0))
        await test.settle()

        told = failure(lambda: test.assert_published(StockReserved(1)))

    assert "published instead (1):" in told
    assert "dead letters (1):\n  order:created  OrderCreated(order_id=1, cds=0)  in shop.reserve, dead" in told
    assert "after attempt 1: Reject: order 1 is empty" in told
    assert told.endswith('in reserve raise Reject(f"order {order.order_id} is empty")')


async def test_what_waits_is_shown_when_it_was_to_be_handled() -> None:
    app = App("shop")

    @app.on(OrderCreated, retry=Retry(inline=0))
    async def fail(order: OrderCreated) -> None:
        raise OSError("no paper")

    async with TestApp(app) as test:
        await test.publish(OrderCreated(1))
        await test.settle()

        told = failure(lambda: test.assert_handled(OrderCreated(1), group=fail, attempts=1))
        other = failure(lambda: test.assert_dead(OrderCreated(1), group="shop.fail", reason="paper"))

    assert told.startswith(
        "expected to be handled by shop.fail at attempt 1:\n  order:created  OrderCreated(order_id=1"
    )
    assert "handled instead: nothing" in told
    assert "in shop.fail, retry after attempt 1: OSError: no paper" in told
    assert other.startswith("expected as a dead letter of shop.fail because of 'paper'")


async def test_what_is_no_event_and_who_is_no_handler_is_refused_in_one_sentence(shop: App) -> None:
    async with TestApp(shop) as test:
        with pytest.raises(ConfigurationError, match="7 is no event"):
            test.assert_published(7)
        with pytest.raises(ConfigurationError, match="OrderCreated has no field 'order'"):
            test.assert_published(OrderCreated, order=7)
        with pytest.raises(ConfigurationError, match="failure handles nothing here"):
            test.assert_handled(OrderCreated, group=failure)
