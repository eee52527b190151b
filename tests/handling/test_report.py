"""What handling tells the outside: a line for what is not routine, a measure a batch, nothing an event."""

import logging

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import Heard, OrderCreated, StockReserved, caught_up, facts, parked, until
from tidings import App, Retry
from tidings.clock import ManualClock
from tidings.handling.report import Metrics, say
from tidings.log import START


async def test_the_metrics_hook_is_called_once_a_batch(new_app: NewApp) -> None:
    measured = Heard[Metrics]()
    app = new_app(metrics=measured.note)

    @app.on(group="g", retry=Retry(inline=0))
    async def reserve(order: OrderCreated) -> StockReserved | None:
        assert isinstance(app.clock, ManualClock)
        app.clock.advance(0.001)
        if order.order_id == 1:
            raise OSError
        return StockReserved(order.order_id) if order.order_id == 2 else None

    async with app:
        await app.publish_many([OrderCreated(number) for number in range(100)])
        async with app.running():
            await parked(app, "retry")
            await caught_up_but_for_retries(app)

    [metrics] = [each for each in measured if each.handled > 1]
    assert (metrics.group, metrics.handled) == ("g", 100)
    assert (metrics.parked, metrics.dead, metrics.published) == (1, 0, 1)
    assert metrics.seconds == pytest.approx(0.1)
    assert len(measured) <= 2  # and the event that was returned


async def test_a_broken_hook_does_not_stop_the_work(new_app: NewApp) -> None:
    calls, heard = Heard[Metrics](), Heard[int]()

    def hook(metrics: Metrics) -> None:
        calls.note(metrics)
        raise ZeroDivisionError

    app = new_app(metrics=hook)

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        for number in range(3):
            await app.publish(OrderCreated(number))
            await calls.reach(number + 1)
        assert await heard.reach(3) == [0, 1, 2]


async def test_repeats_parks_and_deaths_are_reported_with_their_facts(
    app: App, reports: pytest.LogCaptureFixture
) -> None:
    @app.on(group="g", retry=[Retry(on=OSError, inline=1, wait=8.0, jitter=0.0), Retry.never()])
    def show(order: OrderCreated) -> None:
        raise OSError("away") if order.order_id == 1 else ValueError("wrong")

    async with app.running():
        first = await app.publish(OrderCreated(1))
        second = await app.publish(OrderCreated(2))
        await parked(app, "retry", "dead")

    known = {"group": "g", "type": "order:created", "position": first.position, "event": first.id}
    [retry], [park], [dead] = (facts(reports, what) for what in ("retry", "park", "dead"))
    assert retry == {"what": "retry", **known, "attempts": 1, "reason": "OSError: away", "seconds": 0.02}
    assert park == {"what": "park", **known, "attempts": 2, "reason": "OSError: away", "seconds": 8.0}
    assert (dead["event"], dead["attempts"], dead["reason"]) == (second.id, 1, "ValueError: wrong")
    levels = {record.tidings["what"]: record.levelno for record in reports.records if hasattr(record, "tidings")}
    assert (levels["retry"], levels["park"], levels["dead"]) == (logging.INFO, logging.WARNING, logging.ERROR)


async def test_nothing_is_said_of_events_that_are_handled(app: App, reports: pytest.LogCaptureFixture) -> None:
    heard = Heard[int]()

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(50)])
        await heard.reach(50)
        await caught_up(app)

    assert {record.tidings["what"] for record in reports.records if hasattr(record, "tidings")} == {"claim"}


def test_a_line_names_its_facts(reports: pytest.LogCaptureFixture) -> None:
    say(logging.WARNING, "park", group="g", reason="two words", position=START)

    [record] = reports.records
    assert record.getMessage() == "park group=g reason='two words' position=''"


async def caught_up_but_for_retries(app: App) -> None:
    async def is_so() -> bool:
        return not any(each.lag for each in await app.log.ledger.groups())

    await until(is_so, app.log)
