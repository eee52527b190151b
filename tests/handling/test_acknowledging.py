"""What is done, on its way to the carrier: in few settlements, however slow each of them is, and all of it."""

import asyncio
from collections.abc import Sequence

from tidings import Event
from tidings.brokers import Arrival
from tidings.handling.acknowledging import Acknowledging


class SlowInbox:
    """Lets nobody go on who settles, until it is told to."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.asked: asyncio.Queue[list[str]] = asyncio.Queue()

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        raise NotImplementedError

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        self.asked.put_nowait([each.event.id for each in arrivals or ()])
        await self.goes_on.wait()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        raise NotImplementedError

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        raise NotImplementedError


def arrived(number: int) -> list[Arrival]:
    return [Arrival(Event(id=str(number), source="shop", type="t"))]


async def test_what_is_done_while_the_carrier_is_slow_goes_in_one_settlement() -> None:
    inbox, taken = SlowInbox(), list[None]()
    done = Acknowledging(inbox, lambda: taken.append(None))

    async with asyncio.timeout(10):
        running = asyncio.create_task(done.run())
        for number in range(4):  # as many as are under way at a time
            done.add(arrived(number))
            assert await inbox.asked.get() == [str(number)]
        for number in range(4, 50):
            done.add(arrived(number))
        done.end()
        inbox.goes_on.set()
        await running

    assert inbox.asked.get_nowait() == [str(number) for number in range(4, 50)]
    assert inbox.asked.empty()
    assert len(taken) == 5
