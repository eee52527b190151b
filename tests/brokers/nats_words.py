"""The words of the tests on NATS: URLs of their own on a shared server, another client, and readers that go on."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
from nats.aio.client import Client

from tests.servers.nats import NatsServer
from tidings.brokers import Arrival, Broker
from tidings.errors import TidingsError

LIMIT = 30.0  # seconds for what takes milliseconds on an idle machine
_names = itertools.count()


def own_prefix() -> str:
    """What only this test's streams and subjects begin with."""
    return f"test-{os.getpid()}-{next(_names)}"


def url_of(server: NatsServer, *, prefix: str, **settings: object) -> str:
    """A connection's URL, with these settings."""
    said = "".join(f"&{name}={value}" for name, value in settings.items())
    return f"{server.url}?prefix={prefix}{said}"


@contextlib.asynccontextmanager
async def another_client(server: NatsServer) -> AsyncIterator[Client]:
    """nats-py, as others use it."""
    client: Any = await nats.connect(server.url, connect_timeout=20)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def going_on(
    broker: Broker, seen: Callable[[list[Arrival]], None], *, group: str | None = "g", prefetch: int = 500
) -> AsyncIterator[list[TidingsError]]:
    """A reader that notes what comes, settles it, and after a failure, of which it keeps a list, subscribes again."""
    failures: list[TidingsError] = []

    async def read() -> None:
        while True:
            try:
                async with broker.subscribe(["**"], group=group, prefetch=prefetch) as inbox:
                    while True:
                        arrivals = await inbox.receive()
                        seen(arrivals)
                        await inbox.settle(arrivals)
            except TidingsError as error:
                failures.append(error)
                await asyncio.sleep(0.02)

    task = asyncio.ensure_future(read())
    try:
        yield failures
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until it is so."""
    try:
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110  # it is a server's doing
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come about within {LIMIT:g} s") from None
