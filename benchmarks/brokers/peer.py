"""FastStream as a contender: a handler for each event with a pydantic model, as its guide writes it."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel

from benchmarks.brokers.client import Client, all_of, cloud_messages
from benchmarks.orders import OrderCreated


class Order(BaseModel):
    """What a shop publishes."""

    order_id: int
    customer: int
    total: str
    cds: int


class FastStream(Client):
    """Its broker for one carrier: `self.broker`, made by `open`."""

    prefix = "ce_"
    broker: Any

    @abstractmethod
    def subscriber(self) -> Any:
        """The decorator of the handler, as a member of the group."""

    @abstractmethod
    def published(self, order: Order, headers: dict[str, str], key: str) -> Awaitable[Any]:
        """One order, published and acknowledged."""

    async def open(self) -> None:
        """Connect; who consumes starts when its handler is known."""
        await self.broker.connect()

    async def close(self) -> None:
        """Let go of the connection."""
        await self.broker.stop()

    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """Models, with the headers and keys that tidings sends."""
        messages = cloud_messages(orders, self.prefix)
        models = [Order(**msgspec.to_builtins(order)) for order in orders]
        return [(model, it.headers, it.key) for model, it in zip(models, messages, strict=True)]

    async def publish(self, messages: Sequence[Any]) -> None:
        """So many calls of `publish` together: FastStream has none that takes several for a handler of each."""
        await all_of([self.published(*message) for message in messages])

    async def consume(self) -> None:
        """Until cancelled."""
        handle = self.handle
        assert handle is not None

        @self.subscriber()
        async def receive(order: Order) -> None:
            await handle(order)

        await self.broker.start()
        await asyncio.Event().wait()
