"""From service to service over a bus: whoever is killed on the way, each log has each event once."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.oracle import coin_of, effects, in_order, sound
from tests.crash.processes import WITHIN, Child, Start
from tests.crash.programs.coins import CoinPaid, paid
from tidings import App
from tidings.log import open_log


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bus.db"


@pytest.fixture
def orders(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/orders.db"


@pytest.fixture
def bank(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bank.db"


async def pay(url: str, first: int, count: int) -> int:
    """Coins of five accounts, one append each for the relay to have many batches; the number of the next one."""
    async with App("orders", url) as app:
        for number in range(first, first + count):
            await app.log.append([paid(CoinPaid(f"a{number % 5}", number // 5 + 1))])
    return first + count


async def relayed(*urls: str) -> None:
    """Wait until no group of these logs has anything left to do."""
    logs = [await open_log(url) for url in urls]
    ears = [log.bell.listen() for log in logs]
    async with asyncio.timeout(WITHIN):
        for _ in range(2):  # what comes back to the first was on its way in the last
            for log, ear in zip(logs, ears, strict=True):
                while not (groups := await log.ledger.groups()) or any(group.lag or group.retry for group in groups):
                    await ear.wait(0.02)
    for log in logs:
        await log.close()


def stop(*children: Child) -> None:
    for child in children:
        child.send(signal.SIGTERM)
    for child in children:
        assert child.wait() == 0, child.errors()


def judge(count: int, orders: str, bus: str, bank: str) -> str:
    """Every coin is once in each log, in order, and was booked once; every booking is once in each log."""
    sizes = []
    for url in (orders, bus, bank):
        events = asyncio.run(sound(url))
        sizes.append(len(events))
        for type_ in ("coin:paid", "coin:booked"):
            mine = [event for event in events if event.type == type_]
            if url != orders or type_ == "coin:paid":  # nobody at the orders hears of bookings
                assert len({event.id for event in mine}) == len(mine) == count, (url, type_, len(mine))
            in_order(f"{url} {type_}", [coin_of(event) for event in mine])
    effects(bank, "booked", asyncio.run(sound(bank)))
    return f"events in the logs: {sizes}"


@pytest.mark.parametrize("fault", ["relaying", "receiving"])
def test_a_service_killed_between_the_bus_and_its_own_log_loses_and_doubles_nothing(
    fault: str,
    start: Start,
    orders: str,
    bus: str,
    bank: str,
    chance: random.Random,
    trials: Callable[[int], int],
) -> None:
    urls = {"orders": orders, "bank": bank}
    faulty = "orders" if fault == "relaying" else "bank"
    other = "bank" if faulty == "orders" else "orders"
    steady = start("service", other, urls[other], bus, "none", 0)
    steady.expect("ready")
    sent: Counter[str] = Counter()
    count = 0

    for _ in range(trials(20)):
        dies = start("service", faulty, urls[faulty], bus, fault, chance.randrange(2**32))
        while dies.is_running:
            count = asyncio.run(pay(orders, count, 3))
        for line in dies.lines():
            sent.update(line[1:] if line[0] == "sent" else ())
        assert dies.wait() == -signal.SIGKILL, dies.errors()
    lives = start("service", faulty, urls[faulty], bus, "none", 0)
    lives.expect("ready")
    asyncio.run(relayed(orders, bus, bank, bus))
    stop(lives, steady)

    again = sum(times - 1 for times in sent.values())
    print(f"killed {trials(20)} times while {fault}: {judge(count, orders, bus, bank)}; {again} sent again")


def test_four_relays_of_one_service_send_each_event_once_and_in_order(
    start: Start, orders: str, bus: str, bank: str
) -> None:
    relays = [start("service", "orders", orders, bus, "none", number) for number in range(4)]
    receiver = start("service", "bank", bank, bus, "none", 0)
    for child in (*relays, receiver):
        child.expect("ready")

    for batch in range(5):
        asyncio.run(pay(orders, batch * 100, 100))
    asyncio.run(relayed(orders, bus, bank, bus))
    stop(*relays, receiver)

    sent = [[event_id for line in relay.lines() if line[0] == "sent" for event_id in line[1:]] for relay in relays]
    print(f"sent by each: {[len(ids) for ids in sent]}; {judge(500, orders, bus, bank)}")
    assert Counter(event_id for ids in sent for event_id in ids).most_common(1)[0][1] == 1
    assert sum(map(len, sent)) == 500
