"""Connections are cut, and joins and questions cut short: it costs nobody anything."""

import asyncio
import contextlib
import os
import socket
from asyncio import to_thread

import psutil

from tests.brokers.carriers import Carrier, has_server, those
from tests.brokers.judging import Judge
from tests.brokers.words import Opened, going_on, joined, numbered, own_name, telling
from tests.servers.server import Server
from tidings.testing.broker_conformance.words import Connect, ids_of, take
from tidings.testing.checker import History


@those(has_server)
async def test_connections_that_are_cut_are_made_again(carrier: Carrier, shared: Server, opened: Opened) -> None:
    url, history, judge = carrier.url(shared, own_name()), History(), Judge(carrier)
    publishing, reading = await opened(url), await opened(url)
    async with joined(reading):
        pass  # from here on its events are kept, by who keeps any
    async with going_on(reading, history) as reader:
        async with telling(publishing, history) as teller:
            for _ in range(3):
                await reader.hears_more(50)
                with judge.disturbed():
                    assert await to_thread(_cut, shared) >= 2
                    await teller.tells(50)
                    await reader.hears_more(1)
            await reader.hears_more(50)
        if carrier.keeps:
            await reader.hears(judge.owed(history))

    judge.acquit(history, "g")


def _cut(server: Server) -> int:
    """End every connection that this process has with a server, as a router does that forgets them; how many."""
    count = 0
    for connection in psutil.Process().net_connections("tcp"):
        if connection.raddr and connection.raddr.port in server.ports:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fd)) as ours:
                ours.shutdown(socket.SHUT_RDWR)
                count += 1
    return count


async def test_what_is_cut_short_costs_nobody_anything(carrier: Carrier, connect: Connect) -> None:
    broker, events = await connect(), numbered(0, 60)

    async def join(group: str | None) -> None:
        async with broker.subscribe(["order:*"], group=group) as inbox:
            await inbox.receive()

    async def ask() -> None:
        await broker.groups()

    async with broker.subscribe(["order:*"], group="g") as inbox:
        for number in range(12):
            attempts = [join(None), join("g"), ask() if carrier.claims.lag else join("other")]
            tasks = [asyncio.ensure_future(each) for each in attempts]
            await asyncio.wait(tasks, timeout=0.005 * number)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert [task for task in tasks if not task.cancelled() and task.exception()] == []
        await broker.publish(events)
        assert {*ids_of(await take(inbox, ids_of(events)))} == {*ids_of(events)}, "half a member keeps what is its own"
