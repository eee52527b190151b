"""tidings as a contender: an application as a user writes it, on the broker alone or with a log of its own."""

import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks.brokers.client import GROUP, Client, all_of
from benchmarks.orders import Gauge, OrderCreated
from tests.servers.postgres import PostgresServer
from tidings import App
from tidings.brokers import connect


class Direct(Client):
    """Without a log: the handler hears the broker. Policy and metrics are as they come, and counted."""

    def log(self) -> str | None:
        """The log of who consumes."""
        return None

    async def open(self) -> None:
        """Who publishes is another service, with the broker alone."""
        self._shop = App("shop", broker=self.url, contracts=[OrderCreated], metrics=Gauge())
        await self._shop.__aenter__()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._shop.__aexit__(None, None, None)

    async def prepare(self) -> None:
        """As `tidings setup` does."""
        app = self._consumer()
        broker = await connect(self.url, channels=app.channels)
        await broker.setup(app.wanted(), apply=True)
        await broker.close()

    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """The values themselves: ids, times and JSON are made when they are published."""
        return list(orders)

    async def publish(self, messages: Sequence[Any]) -> None:
        """`publish_many`."""
        await self._shop.publish_many(messages)

    async def consume(self) -> None:
        """`app.running()`."""
        async with self._consumer().running():
            await asyncio.Event().wait()

    def _consumer(self) -> App:
        app = App(GROUP, self.log(), broker=self.url, contracts=[OrderCreated], metrics=Gauge())
        handle = self.handle

        @app.on(OrderCreated, group=GROUP)
        async def receive(order: OrderCreated) -> None:
            assert handle is not None
            await handle(order)

        return app


class ThroughLog(Direct):
    """With a log: what arrives is recorded before it is acknowledged, and the handler hears the log."""

    def log(self) -> str | None:
        """A file of this round's own."""
        return f"sqlite:///{self.place.fresh}/bench.db"


class ThroughPostgres(Direct):
    """The same with a log in Postgres, on a server of this round's own."""

    _server: PostgresServer | None = None

    async def open(self) -> None:
        """Who consumes has the log."""
        if self.handle is not None:
            self._server = await asyncio.to_thread(PostgresServer().__enter__)
        await super().open()

    async def close(self) -> None:
        """Let go of the connection, and of the server."""
        await super().close()
        if self._server is not None:
            await asyncio.to_thread(self._server.__exit__, None, None, None)

    def log(self) -> str | None:
        """A database of this round's own; also for who only prepares."""
        return None if self._server is None else self._server.url


class OneByOne(Direct):
    """Without a log, each order published by a call of its own, many at once."""

    async def publish(self, messages: Sequence[Any]) -> None:
        """So many calls of `publish` together."""
        await all_of([self._shop.publish(order) for order in messages])
