"""What every question asks of every contender: one library on one carrier, as a client that publishes and consumes."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import msgspec

from benchmarks.harness import Place
from benchmarks.orders import OrderCreated, batches
from tidings import Event
from tidings.brokers.binding import CONTENT_TYPE, Binding, payload
from tidings.events import contract_of, new_id
from tidings.events.envelope import JSON

CHANNEL = "order"  # the stream, topic, subject or queue of those who name it; tidings takes it from the event's name
GROUP = "bench"
AT_ONCE = 500  # events that are published together, and asked for together
PARTITIONS = 8  # as many as tidings has

Handle = Callable[[Any], Awaitable[None]]
decode = msgspec.json.Decoder(OrderCreated).decode


class Message(NamedTuple):
    """An order as a client library takes it: CloudEvents attributes as headers, beside the data."""

    id: str
    key: str
    headers: dict[str, str]
    data: bytes


class Client(ABC):
    """A library on one carrier, in `async with`. It publishes, or it consumes; who consumes has a handler."""

    def __init__(self, place: Place, url: str, handle: Handle | None = None) -> None:
        self.place = place
        self.url = url
        self.handle = handle

    @abstractmethod
    async def prepare(self) -> None:
        """Make what events travel on and the group that hears it, before anything is published."""

    @abstractmethod
    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """What `publish` takes; whatever can be made before is not measured."""

    @abstractmethod
    async def publish(self, messages: Sequence[Any]) -> None:
        """Publish these together; returns when all were acknowledged."""

    @abstractmethod
    async def consume(self) -> None:
        """Hand each order to the handler, and acknowledge; until cancelled."""

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection."""

    async def fill(self, orders: Sequence[OrderCreated]) -> None:
        """Publish all, as whoever consumes with this library finds them."""
        for batch in batches(self.messages(orders), AT_ONCE):
            await self.publish(batch)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()


def cloud_messages(orders: Sequence[OrderCreated], prefix: str) -> list[Message]:
    """The orders with the headers, ids and keys that tidings would send, as a carrier's binding writes them."""
    binding, contract, time = Binding(prefix), contract_of(OrderCreated), datetime.now(UTC)
    assert contract is not None
    made = []
    for order in orders:
        key = contract.key_of(order)
        data = msgspec.Raw(contract.encode(order))
        event = Event(id=new_id(), source="shop", type=contract.name, key=key, time=time, data=data)
        headers = binding.headers(event) | {CONTENT_TYPE: JSON}
        made.append(Message(event.id, key or "", headers, payload(event)))
    return made


async def all_of(publishing: Sequence[Awaitable[Any]]) -> None:
    """Wait for many acknowledgements; one that fails is raised."""
    await asyncio.gather(*publishing)
