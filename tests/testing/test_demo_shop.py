"""Services of the demo in the test kit: real applications, with a bus and tables of their own."""

from datetime import date
from decimal import Decimal

from tidings.demos.shop import inventory, notification
from tidings.demos.shop.contracts import OrderCreated, PaymentCaptured, StockReserved
from tidings.demos.shop.place import POISON
from tidings.testing import Faults, TestApp


def order(number: int) -> OrderCreated:
    return OrderCreated(number, customer=1, day=date(1997, 1, 1), cds=2, total=Decimal("29.33"))


def payment(number: int) -> PaymentCaptured:
    return PaymentCaptured(number, customer=1, total=Decimal("29.33"), receipt="r")


async def test_inventory_reserves_each_order_once_whatever_goes_wrong() -> None:
    faults = Faults(drop=0.3, duplicate=0.5, reorder=True, fail_before=0.1, fail_after=0.2, seed=5)

    async with TestApp(inventory.app, faults=faults) as test:
        await test.arrive_many([order(number) for number in range(30)], source="order")
        await test.settle(timeout=30)

        async with inventory.app.transaction() as tx:
            rows = await tx.fetch("SELECT order_id, count(*) FROM reserved GROUP BY order_id")
        assert sorted(rows) == [(number, 1) for number in range(30)]
        assert len({stock.order_id for stock in test.relayed.of(StockReserved)}) == 30
        assert max(each.calls for each in test.handled) > 1
        assert {met.kind for met in faults.met} >= {"drop", "duplicate", "reorder", "fail_before", "fail_after"}


async def test_notification_gives_the_poison_order_up_and_goes_on() -> None:
    async with TestApp(notification.app) as test:
        await test.arrive_many([payment(number) for number in (POISON - 1, POISON, POISON + 1)], source="payment")
        await test.advance(3600)

        test.assert_dead(payment(POISON))
        test.assert_handled(payment(POISON - 1))
        test.assert_handled(payment(POISON + 1))
