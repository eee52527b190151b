"""The seam between services: a `Broker` takes events from one and hands them to the groups of others.

A broker is never trusted to remember: with a log on both sides, what it hands over is recorded before it is
acknowledged, and what it hands over twice is recorded once.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

from tidings.events import Event


class Capabilities(msgspec.Struct, frozen=True):
    """What a carrier can be held to."""

    durable: bool  # what it took survives its restart
    groups: bool  # members of a group share the events, groups do not
    replay: bool  # a new group may begin with what was published before it
    order: Literal["none", "channel", "total"]  # among events of one key, as published
    delay: bool  # it can hand an event over later
    dead_letters: bool  # it keeps what a group gave up
    fsync: bool  # on disk before `publish` returns
    max_size: int | None = None  # bytes of one event
    atomic: bool = False  # all events of one publish are taken, or none, whatever happens meanwhile


class Inbox(Protocol):
    """A group's events, as one member receives them."""

    async def receive(self, at_most: int = 500) -> list[Event]:
        """The next events, at least one; waits for it. Their data is raw.

        Events received before and not settled are not handed over again while this inbox is open.

        Raises:
            BrokerError, LogError: the carrier failed; close this inbox and subscribe again.
        """

    async def settle(self) -> None:
        """Everything received so far is safe on this side; it will not come again.

        Raises:
            Fenced: another member was given the events meanwhile, and will be handed them.
        """


class Broker(Protocol):
    """A carrier, connected."""

    url: str
    capabilities: Capabilities

    async def publish(self, events: Sequence[Event]) -> None:
        """Hand events over, in order; returns when the carrier has them as safely as it claims.

        The same events again are no harm: who receives them records each id once.

        Raises:
            BrokerError, LogError, ConfigurationError: some or none of them were taken; publish all of them again.
        """

    def subscribe(
        self, patterns: Sequence[str], *, group: str, start: str = "earliest", prefetch: int = 500
    ) -> AbstractAsyncContextManager[Inbox]:
        """Join a group as one of its members, until the context ends; its unsettled events go to others then."""

    async def close(self) -> None:
        """Let go of the connection. Closing twice is harmless."""
