"""Clients of others: what somebody without tidings does on a server, and sees there."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiormq  # as it reads a file when it is imported, it is not first imported in a test's event loop
import nats
import redis
from nats.aio.client import Client

from tests.servers.nats import NatsServer
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.redis import RedisServer


class RedisClient:
    """redis-py, as others use it; its asyncio client looks at the disk in the midst of the event loop."""

    def __init__(self, server: RedisServer) -> None:
        self._client = redis.Redis.from_url(server.url)

    def __getattr__(self, command: str) -> Callable[..., Awaitable[Any]]:
        return functools.partial(asyncio.to_thread, getattr(self._client, command))


@contextlib.asynccontextmanager
async def nats_client(server: NatsServer) -> AsyncIterator[Client]:
    """nats-py, as others use it."""
    client: Any = await nats.connect(server.url, connect_timeout=20)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def rabbitmq_client(server: RabbitmqServer) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    """A channel of aiormq."""
    async with aiormq.connect(server.url) as connection:
        yield await connection.channel()
