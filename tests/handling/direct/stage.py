"""What these tests do with a broker: orders to publish, waiting for what it keeps, and one that can do less."""

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.handling.stage import eventually
from tidings import App, Event
from tidings.brokers import Arrival, Broker, DeadLetter
from tidings.brokers.log import LogBroker
from tidings.brokers.log_inbox import LogInbox
from tidings.errors import BrokerUnreachable, EventRefused


def orders(*numbers: int) -> list[Event]:
    return [
        Event(id=f"id-{n}", source="web", type="order:created", key=str(n % 3), data={"order_id": n}) for n in numbers
    ]


async def letters(broker: Broker, count: int) -> Sequence[DeadLetter]:
    async def are_there() -> bool:
        return len(await broker.letters()) >= count

    await eventually(are_there)
    return await broker.letters()


async def settled(broker: Broker, group: str) -> None:
    """Return when the broker has nothing more for this group."""

    async def is_settled() -> bool:
        return {each.group: each.lag for each in await broker.groups()}.get(group) == 0

    await eventually(is_settled)


async def stopped(app: App) -> None:
    """Return when the application's group has stopped."""

    async def is_stopped() -> bool:
        return (await app.health()).groups[0].state == "stopped"

    await eventually(is_stopped)


async def left(broker: Broker, group: str, pattern: str = "**") -> list[str]:
    """The ids of what the broker still has for this group."""
    async with broker.subscribe([pattern], group=group) as inbox:
        return [each.event.id for each in await inbox.receive()]


def refuse_effect_of(event_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the carrier take no `stock:reserved` that this event caused."""
    publish = LogBroker.publish

    async def small_only(self: LogBroker, events: Sequence[Event]) -> None:
        for event in events:
            if event.type == "stock:reserved" and event.causation_id == event_id:
                raise EventRefused(event.id, "it has 2,000,000 bytes")
        await publish(self, events)

    monkeypatch.setattr(LogBroker, "publish", small_only)


def fail_to_settle_once(monkeypatch: pytest.MonkeyPatch) -> "itertools.count[int]":
    """Have the carrier fail as it is told for the first time what is done; what it gives counts how often it was."""
    settle, calls = LogInbox.settle, itertools.count()

    async def lost(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        if next(calls) == 0:
            raise BrokerUnreachable("x://host", "it was cut")
        await settle(self, arrivals)

    monkeypatch.setattr(LogInbox, "settle", lost)
    return calls


class CannotDelay:
    """A carrier that hands nothing over later."""

    def __init__(self, broker: Broker, **lacks: bool) -> None:
        self._broker = broker
        self.url = broker.url
        self.capabilities = msgspec.structs.replace(broker.capabilities, **lacks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def close(self) -> None:
        """The test has it open."""


def app_on(carrier: Any) -> App:
    app = App("shop", broker="memory:never-opened")

    async def connected(url: str, **settings: Any) -> Broker:
        found: Broker = carrier
        return found

    app._connect = connected
    return app
