"""The server is killed with SIGKILL while everybody is at work, and comes back: nothing it answered for is lost."""

import asyncio
from asyncio import to_thread
from collections.abc import Callable

import pytest

from tests.brokers.carriers import Carrier, has_server, those
from tests.brokers.judging import Judge
from tests.brokers.words import Opened, going_on, joined, own_name, telling, until
from tests.servers.server import Server
from tidings.errors import BrokerError, BrokerUnreachable
from tidings.testing.checker import History

_ABSENT = "away"  # a group without a member while the server dies: nobody but the server has what it missed


@those(has_server)
async def test_what_was_acknowledged_outlives_a_server_that_is_killed_under_publisher_and_reader(
    carrier: Carrier, mortal: Server, opened: Opened
) -> None:
    await _killed_at_work(carrier, mortal, opened, times=1)


@pytest.mark.chaos
@those(lambda carrier: carrier.keeps and has_server(carrier))
async def test_a_server_may_be_killed_many_times(
    carrier: Carrier, mortal: Server, opened: Opened, trials: Callable[[int], int]
) -> None:
    await _killed_at_work(carrier, mortal, opened, times=max(trials(30) // 10, 2))


async def _killed_at_work(carrier: Carrier, server: Server, opened: Opened, *, times: int) -> None:
    url, history, judge = carrier.hasty(server, own_name()), History(), Judge(carrier)
    publishing, reading = await opened(url), await opened(url)
    for group in ("g", _ABSENT):
        async with joined(reading, group=group):
            pass  # from here on its events are kept, by who keeps any
    await asyncio.sleep(carrier.ripens)
    async with going_on(reading, history) as reader:
        async with telling(publishing, history) as teller:
            for _ in range(times):
                await reader.hears_more(100)
                failed, noticed = len(teller.failures), len(reader.failures)
                await to_thread(judge.kill, server)
                await until(lambda: len(teller.failures) > failed, "a publisher's failure")  # noqa: B023
                await until(lambda: len(reader.failures) > noticed, "a reader's failure")  # noqa: B023
                await to_thread(judge.revive, server)
                await teller.tells(50)
                await reader.hears_more(1)
        if carrier.keeps:
            await reader.hears(judge.owed(history))
    if carrier.keeps:
        async with going_on(reading, history, group=_ABSENT) as late:
            await late.hears(judge.owed(history))

    report = judge.acquit(history, "g", *([_ABSENT] if carrier.keeps else []))
    print(f"{carrier.name}: killed {times} times: {report}")
    assert {type(error) for error in teller.failures} <= {BrokerUnreachable, BrokerError}
