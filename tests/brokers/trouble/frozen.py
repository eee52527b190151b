"""The server stands still and goes on: whoever waits for it is told in time, and everything goes on when it does."""

import asyncio
import contextlib
import time
from asyncio import to_thread
from collections.abc import AsyncIterator

import pytest

from tests.brokers.carriers import Carrier, has_server, those
from tests.brokers.judging import Judge
from tests.brokers.words import Opened, Reader, Teller, going_on, joined, own_name, telling, until
from tests.servers.server import Server
from tidings.errors import BrokerUnreachable
from tidings.testing.broker_conformance.words import within
from tidings.testing.checker import History


@those(has_server)
async def test_a_frozen_server_is_noticed_by_everybody_and_gone_on_with(
    carrier: Carrier, mortal: Server, opened: Opened
) -> None:
    await _frozen_at_work(carrier, mortal, opened, carrier.hasty(mortal, own_name()), seconds=3)


@pytest.mark.chaos
@those(lambda carrier: carrier.keeps and has_server(carrier))
async def test_a_server_may_stand_still_for_half_a_minute(carrier: Carrier, mortal: Server, opened: Opened) -> None:
    url = carrier.url(mortal, own_name(), timeout=5)  # as it is where nobody says anything
    await _frozen_at_work(carrier, mortal, opened, url, seconds=30)


async def _frozen_at_work(carrier: Carrier, server: Server, opened: Opened, url: str, *, seconds: float) -> None:
    history, judge = History(), Judge(carrier)
    publishing, reading, joining = [await opened(url) for _ in range(3)]
    async with joined(reading):
        pass  # from here on its events are kept, by who keeps any
    async with going_on(reading, history) as reader, going_on(reading, group=None) as listener:
        async with telling(publishing, history) as teller:
            await reader.hears_more(100)
            await listener.hears_more(1)
            troubled: list[Teller | Reader] = [teller, reader, listener]
            before = [len(each.failures) for each in troubled]
            with judge.disturbed():
                async with _standing_still(server, seconds):
                    with pytest.raises(BrokerUnreachable):
                        async with within("a joiner's failure"), joining.subscribe(["order:*"], group="g"):
                            pass
                    for each, count in zip(troubled, before, strict=True):
                        await until(lambda: len(each.failures) > count, f"a {type(each).__name__}'s failure")  # noqa: B023
            await teller.tells(50)
            await reader.hears_more(1)
            await listener.hears_more(1)
        if carrier.keeps:
            await reader.hears(judge.owed(history))

    report = judge.acquit(history, "g")
    print(f"{carrier.name}: frozen for {seconds:g} s: {report}; {len(reader.failures)} failures of the reader")


@contextlib.asynccontextmanager
async def _standing_still(server: Server, seconds: float) -> AsyncIterator[None]:
    """So long at least."""
    ends = time.monotonic() + seconds
    await to_thread(server.pause)
    try:
        yield
        await asyncio.sleep(ends - time.monotonic())
    finally:
        await to_thread(server.resume)
