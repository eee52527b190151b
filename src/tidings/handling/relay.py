"""The two relays between a service's log and its broker.

*Outbound* reads the log's public events like any group and publishes them. *Inbound* records what arrives and only then
acknowledges it, so that every promise about handling is kept by the log alone.
"""

import logging
from collections.abc import Sequence

import msgspec

from tidings.brokers import Broker, Inbox
from tidings.clock import Clock
from tidings.errors import Fenced, TidingsError
from tidings.events import Event
from tidings.handling.delivery import Item
from tidings.handling.form import form_of
from tidings.handling.policy import Policy
from tidings.handling.report import say
from tidings.handling.subscription import Subscription
from tidings.handling.transactional import Unsettled
from tidings.log import Log
from tidings.log.interface import Group
from tidings.log.record import restore

_TROUBLE = (0.1, 5.0)  # seconds between tries: first, longest


def outbound_subscription(app: str) -> Subscription:
    """The group that relays an application's public events."""

    async def relay(event: Event) -> None:
        """Done a batch at a time, by `Relaying`."""

    return Subscription(Group(f"{app}:outbound"), form_of(relay), Policy(timeout=None))


class Relaying:
    """The way outbound 'calls its handler': a batch is one publish."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def run(self, items: list[Item]) -> list[Item]:
        """Publish all items, in order.

        Raises:
            Unsettled: the carrier did not take them all; they are published again.
        """
        try:
            await self._broker.publish([_public(restore(item.record, item.position)) for item in items])
        except TidingsError as error:
            raise Unsettled(error) from error
        return []

    def pause(self) -> None:
        """A publish is not interrupted."""

    def close(self) -> None:
        """Nothing is held."""


class Inbound:
    """Records what a broker has for this service, in its own log."""

    def __init__(self, log: Log, broker: Broker, source: str, patterns: Sequence[str], clock: Clock) -> None:
        self.trouble: str | None = None
        self._log = log
        self._broker = broker
        self._source = source
        self._patterns = tuple(patterns)
        self._clock = clock
        self._wait = _TROUBLE[0]

    async def run(self) -> None:
        """Receive until stopped; when the carrier or the log fails, wait, and go on."""
        while True:
            try:
                async with self._broker.subscribe(self._patterns, group=self._source) as inbox:
                    await self._receive(inbox)
            except Fenced:
                continue  # recorded by two members is recorded once
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"
                say(logging.ERROR, "trouble", group=f"{self._source}:inbound", reason=self.trouble)
                await self._clock.sleep(self._wait)
                self._wait = min(self._wait * 2, _TROUBLE[1])

    async def _receive(self, inbox: Inbox) -> None:
        while True:
            events = await inbox.receive()
            foreign = [event for event in events if event.source != self._source]
            await self._log.absorb(foreign)
            await inbox.settle()
            self.trouble, self._wait = None, _TROUBLE[0]


def _public(event: Event) -> Event:
    """The event without its place in this log; what kept it in order there keeps it in order elsewhere."""
    key = event.key or event.stream
    return msgspec.structs.replace(
        event, key=key, position=None, recorded_at=None, stream=None, stream_version=None
    )
