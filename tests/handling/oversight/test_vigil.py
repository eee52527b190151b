"""A consumer that gets nothing while more and more waits for it is seen, and one that gets on is left in peace."""

import asyncio

from tidings.brokers import Standing
from tidings.clock import ManualClock
from tidings.errors import BrokerUnreachable
from tidings.handling.oversight.vigil import Vigil


class Told:
    url = "kafka://host"
    lag = 0
    is_away = False

    async def groups(self) -> list[Standing]:
        if self.is_away:
            raise BrokerUnreachable(self.url, "nobody answers")
        return [Standing("shop", self.lag), Standing("others", 10**6)]


class Case:
    def __init__(self) -> None:
        self.broker = Told()
        self.clock = ManualClock()
        self.received = 0
        self.vigil = Vigil(self.broker, {"shop": lambda: self.received}, self.clock, patience=30)  # type: ignore[arg-type]

    async def after(self, seconds: float, *, lag: int, received: int = 0) -> bool:
        """Is it taken to be silent then?"""
        self.clock.advance(seconds)
        self.broker.lag, self.received = lag, received
        await self.vigil.look()
        return bool(self.vigil.silent)


async def test_silence_while_the_lag_grows_is_told() -> None:
    case = Case()

    assert not await case.after(0, lag=5)
    assert not await case.after(20, lag=50)
    assert await case.after(11, lag=60)
    assert case.vigil.silent["shop"].startswith("shop has received nothing for 31 s, while 60 events wait")
    assert not await case.after(1, lag=61, received=1), "it gets on again"


async def test_who_gets_on_or_has_nothing_to_get_is_left_in_peace() -> None:
    case = Case()
    for step in range(10):
        assert not await case.after(20, lag=100 + step, received=step)
    for _ in range(10):
        assert not await case.after(20, lag=0, received=10)


async def test_a_lag_that_stays_is_one_slow_handler_and_no_silence() -> None:
    case = Case()
    for _ in range(10):
        assert not await case.after(20, lag=7)


async def test_a_carrier_that_is_away_is_not_its_concern() -> None:
    case = Case()
    case.broker.is_away = True
    case.vigil.begin()
    for _ in range(30):
        case.clock.advance(6)
        await asyncio.sleep(0)
    case.vigil.end()

    assert case.vigil.silent == {}
