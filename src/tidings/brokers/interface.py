"""The seam between services: a `Broker` takes events from one and hands them to the groups of others.

A broker is never trusted to remember: with a log on both sides, what it hands over is recorded before it is
acknowledged, and what it hands over twice is recorded once. Without a log it is asked for more: to hand an event over
again later, and to keep what a group gave up. `Capabilities` says which carrier can.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from tidings.events import Event
from tidings.log.record import Draft, draft


class Capabilities(msgspec.Struct, frozen=True):
    """What a carrier can be held to."""

    durable: bool  # what it took survives its restart
    groups: bool  # members of a group share the events, groups do not
    replay: bool  # a new group may begin with what was published before it
    order: Literal["none", "channel", "total"]  # among events of one key, as published, however many members
    delay: bool  # it can hand an event over later: `Inbox.retry`
    dead_letters: bool  # it keeps what a group gave up: `Inbox.reject`, `Broker.letters`
    fsync: bool  # on disk before `publish` returns
    max_size: int | None = None  # bytes of one event
    atomic: bool = False  # all events of one publish are taken, or none, whatever happens meanwhile
    lag: bool = True  # it can say how much a group has still to receive: `Broker.groups`
    remembers: bool = True  # a group hears later what it did not settle, or missed while no member was there
    forgets: bool = False  # it lets go of a group when told to: `Broker.forget`
    acknowledgement: str = ""  # what `publish` returning is worth, in a sentence
    settlement: str = ""  # what `Inbox.settle` returning is worth, in a sentence


class Notice(msgspec.Struct, gc=False):
    """An event as far as most need it, who route it and hand its data on; its `shape` reads the rest of its message."""

    id: str
    source: str
    type: str
    version: int
    key: str | None
    data: bytes
    time: datetime | None
    said: Any  # of what the shape makes the event
    shape: "Shape"


class Shape(Protocol):
    """How messages that look alike are read."""

    def event(self, notice: Notice) -> Event:
        """The whole event."""

    def draft(self, notice: Notice) -> Draft:
        """The event as a log writes it down."""


class Arrival(msgspec.Struct, gc=False):
    """An event as an inbox hands it over; its data is raw.

    With a `failure`, what came is no event that could be read: `event` then has the message's bytes as its data, and
    its id says where the message lies, the same each time it comes.
    """

    notice: Event | Notice  # what is sound about it; both have id, source, type, version, key and data
    ticket: Any = None  # what its inbox knows it by
    attempt: int = 1  # the how manyth time it is handed to this group, as far as the carrier counts
    failure: Exception | None = None

    @property
    def event(self) -> Event:
        """The whole event, made when it is first asked for."""
        notice = self.notice
        if isinstance(notice, Notice):
            notice = self.notice = notice.shape.event(notice)
        return notice

    @property
    def draft(self) -> Draft:
        """The event as a log writes it down for itself, not to be relayed; for most it need not be made."""
        notice = self.notice
        return notice.shape.draft(notice) if isinstance(notice, Notice) else draft(notice, public=False)


class Inbox(Protocol):
    """A group's events, as one member receives them."""

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """What comes next, at least one; waits for it.

        What was received before and not settled is not handed over again while this inbox is open. At most `prefetch`
        arrivals are unsettled at a time: it waits, rather than hand over more.

        Raises:
            BrokerError, LogError: the carrier failed; close this inbox and subscribe again.
        """

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """These, in whatever order, are safe on this side and will not come again; None: all received so far.

        A carrier that remembers only how far a group is (Kafka, MQTT, a log) remembers the lowest that is not settled.

        Raises:
            Fenced: another member was given the events meanwhile, and will be handed them.
            BrokerError, LogError: it may come again.
        """

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Have it handed over again, to any member, once so many seconds have passed. Asked of who claims `delay`."""

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """The group gives it up: it is kept among its dead letters. Asked of who claims `dead_letters`."""


class Standing(msgspec.Struct, frozen=True):
    """How a group stands with its carrier; None is what the carrier does not tell."""

    group: str
    lag: int | None = None  # events still to be settled
    members: int | None = None
    dead: int | None = None


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a group gave up."""

    group: str
    event: Event
    reason: str
    detail: str = ""
    attempts: int = 1
    ticket: Any = None  # what its carrier knows it by


class Wanted(msgspec.Struct, frozen=True):
    """What an application needs of a carrier: where its events travel, and who of it hears what."""

    channels: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()  # each with its patterns


class Difference(msgspec.Struct, frozen=True):
    """What a carrier lacks of what is wanted, or has otherwise."""

    what: str  # "topic order"
    state: Literal["missing", "created", "differs"]
    detail: str = ""  # "8 partitions wanted, 4 found: ..."


class Broker(Protocol):
    """A carrier, connected when it is first needed, and again after it was lost."""

    url: str  # without its password
    capabilities: Capabilities

    async def publish(self, events: Sequence[Event]) -> None:
        """Hand events over, in order; returns when the carrier has them as safely as it claims.

        The same events again are no harm: who receives them records each id once.

        Raises:
            EventRefused: the carrier takes no such event, however often it is offered; it may have taken those before.
            BrokerError, LogError, ConfigurationError: some or none of them were taken; publish all of them again.
        """

    def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AbstractAsyncContextManager[Inbox]:
        """Join a group as one of its members, until the context ends; its unsettled events go to others then.

        Without a group it hears what comes from now on, whoever else does, and nothing is remembered of it.
        """

    async def groups(self) -> list[Standing]:
        """The groups it knows, by name. Who claims `lag` can say.

        Raises:
            NotSupported, ConfigurationError: it cannot, or not without a setting, which is named.
            BrokerError, LogError: the carrier did not say.
        """

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """The dead letters of a group, or of all, oldest first. Asked of who claims `dead_letters`.

        Raises:
            BrokerError, LogError: the carrier did not say.
        """

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Hand a dead letter to its group `again`, or drop it.

        Raises:
            BrokerError, LogError: the carrier failed; the letter may still be there.
        """

    async def forget(self, group: str) -> None:
        """Let go of a group, with what waits for it and its dead letters. Asked of who claims `forgets`.

        Raises:
            ConfigurationError: members run it.
            BrokerError, LogError: the carrier did not do it.
        """

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """What is missing or differs. With `apply`, what is missing is created; what differs is left as it is.

        Raises:
            BrokerError, LogError: the carrier did not say.
        """

    async def close(self) -> None:
        """Let go of the connection. Closing twice is harmless."""
