"""What is to happen later happens in a test when the test says that it is later."""

import itertools
from datetime import timedelta
from typing import Literal

from tests.testing.shop import OrderCreated, PaymentCaptured
from tidings import App, Later
from tidings.testing import TestApp


async def test_a_delayed_event_is_recorded_and_handled_when_its_time_has_come(log: Literal["memory", "sqlite"]) -> None:
    app = App("shop", "memory:")

    @app.on(OrderCreated)
    async def remember(order: OrderCreated) -> Later[PaymentCaptured]:
        return Later(PaymentCaptured(order.order_id), delay=timedelta(days=14))

    @app.on(PaymentCaptured)
    async def thank(payment: PaymentCaptured) -> None: ...

    async with TestApp(app, log=log) as test:
        await test.publish(OrderCreated(7))
        await test.advance(14 * 86_400 - 1)
        test.assert_not_published(PaymentCaptured)

        await test.advance(1.001)

        test.assert_published(PaymentCaptured(7), times=1)
        test.assert_handled(PaymentCaptured(7), group=thank)


async def test_several_delayed_events_come_in_their_turn_and_a_cancelled_one_never() -> None:
    app = App("shop", "memory:", contracts=[PaymentCaptured])

    async with TestApp(app) as test:
        for minutes in (3, 1, 2):
            await test.publish(PaymentCaptured(minutes), delay=60.0 * minutes)
        cancelled = await test.publish(PaymentCaptured(9), delay=90.0)
        assert await app.cancel(cancelled)

        await test.advance(600)

        assert [each.data.order_id for each in test.published] == [1, 2, 3]


async def test_what_recurs_is_called_as_often_as_time_has_gone_by(log: Literal["memory", "sqlite"]) -> None:
    app = App("shop", "memory:")
    called: list[float] = []

    @app.every("5m")
    async def look() -> None:
        called.append(app.clock.now())

    async with TestApp(app, log=log) as test:
        await test.advance(3600)

    assert len(called) == 12
    assert {round(later - earlier) for earlier, later in itertools.pairwise(called)} == {300}
