"""What a process says of its work, seen from another, and its silence when there is nothing to say."""

from typing import Any

from tests.handling.stage import OrderCreated, caught_up, until
from tidings import App
from tidings.clock import ManualClock
from tidings.handling.oversight.reporting import Reporting
from tidings.log import Log
from tidings.log.group import Report


class Ledger:
    """A ledger that counts what is reported to it; it is its own log, with the bell of a real one."""

    def __init__(self, log: Log) -> None:
        self.told: list[Report] = []
        self.bell, self.ledger = log.bell, self

    async def report(self, reports: Any) -> None:
        self.told += reports


async def begun(app: App, clock: ManualClock) -> tuple[Reporting, Ledger]:
    """A reporting that has said that work has begun, and what it says from now on."""
    assert app._running is not None
    ledger: Any = Ledger(app.log)
    reporting = Reporting(ledger, app._running.readers, clock)

    async def is_told() -> bool:
        await reporting.tell()
        return bool(ledger.told)

    await until(is_told, app.log)
    assert [(report.at, report.handled, report.hindrance) for report in ledger.told] == [(clock.now(), 0.0, "")]
    ledger.told.clear()
    return reporting, ledger


async def test_rates_are_told_every_few_seconds_of_work_and_never_at_rest(app: App, clock: ManualClock) -> None:
    @app.on()
    async def show(order: OrderCreated) -> None:
        clock.advance(0.01)

    async with app.running():
        reporting, ledger = await begun(app, clock)
        clock.advance(3600.0)
        await reporting.tell()  # it rests: what begins now is measured from now on
        at_rest = list(ledger.told)
        await app.publish_many([OrderCreated(number) for number in range(100)])
        await caught_up(app)
        clock.advance(9.0)
        await reporting.tell()
        at_work = list(ledger.told)
        clock.advance(9.0)
        await reporting.tell()

    assert at_rest == []
    assert ledger.told == at_work
    (report,) = at_work
    assert (report.group, round(report.handled, 2), round(report.arriving, 2)) == ("shop.show", 10.0, 10.0)
    assert round(report.seconds, 3) == 0.01


async def test_a_hindrance_is_told_at_once_and_when_it_is_over(app: App, clock: ManualClock) -> None:
    @app.on()
    async def show(order: OrderCreated) -> None: ...

    async with app.running():
        reporting, ledger = await begun(app, clock)
        assert app._running is not None
        (reader,) = app._running.readers
        up_to_date = [reporting.is_up_to_date]
        reader.trouble.reason = "OSError: the gateway is away"
        up_to_date.append(reporting.is_up_to_date)
        for _ in range(2):
            await reporting.tell()
        reader.trouble.over()
        up_to_date.append(reporting.is_up_to_date)
        for _ in range(2):
            await reporting.tell()
        up_to_date.append(reporting.is_up_to_date)

    assert up_to_date == [True, False, False, True]
    assert [report.hindrance for report in ledger.told] == ["OSError: the gateway is away", ""]


async def test_what_one_process_measures_another_shows(app: App, new_app: Any, clock: ManualClock) -> None:
    @app.on()
    async def show(order: OrderCreated) -> None:
        clock.advance(2.0)

    async with new_app("other") as other, app.running():
        await app.publish_many([OrderCreated(number) for number in range(5)])
        await caught_up(app)

        async def is_told() -> bool:
            clock.advance(0.1)
            (status,) = await other.log.ledger.groups()
            return any(report.handled for report in status.reports)

        await until(is_told, other.log)
        await app.publish(OrderCreated(9))
        await caught_up(app)
        (status,) = await other.log.ledger.groups()

    assert [round(report.seconds, 1) for report in status.reports] == [2.0]
