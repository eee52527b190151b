"""`Opening`: an application's log and broker, open as long as anybody in the process uses them."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Self
from weakref import WeakKeyDictionary

from tidings.app.asking import Desk
from tidings.app.composition import Composition, Speaking
from tidings.app.substitutes import Connect, OpenLog
from tidings.brokers import Broker, Channels, connect
from tidings.brokers.gathering import Gathering
from tidings.clock import Clock
from tidings.concurrency import SharedLock
from tidings.errors import ConfigurationError
from tidings.events import Event
from tidings.handling.delivery import cause
from tidings.handling.listening import ListeningRoom
from tidings.handling.outgoing import Outgoing
from tidings.log import Log, open_log
from tidings.log.open import is_log


class Opening(Composition):
    """A composition with a log, and perhaps a broker."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        contracts: Speaking,
        *,
        log_url: str | None,
        broker_url: str | None,
        channels: Channels,
        keeps_lineage: bool,
        **log_settings: Any,
    ) -> None:
        super().__init__(name, clock, contracts)
        self.log_url = log_url
        self.broker_url = broker_url
        self.channels = channels
        self._keeps_lineage = keeps_lineage
        self._log_settings = log_settings
        self._open_log: OpenLog = open_log
        self._connect: Connect = connect
        self._log: Log | None = None
        self._broker: Broker | None = None
        self._gathering: Gathering | None = None  # before a broker; a log gathers by itself, from several loops
        self._outgoing: Outgoing | None = None
        self._listening: ListeningRoom | None = None
        self._desks: WeakKeyDictionary[asyncio.AbstractEventLoop, Desk] = WeakKeyDictionary()
        self._open_count = 0
        self.loop: asyncio.AbstractEventLoop | None = None  # where it was opened
        self.opened_by: int | None = None  # the process
        self._opening = SharedLock()  # many may enter at once, as requests of a web server do

    @property
    def log(self) -> Log:
        """The open log.

        Raises:
            ConfigurationError: the application is not open, or has none.
        """
        if self._log is None:
            if self.log_url is None:
                raise ConfigurationError(
                    f"{self.name} has no log, which this needs: give it one, log='sqlite:///app.db'"
                )
            raise ConfigurationError(f"{self.name} is not open: use 'async with app:', app.run() or 'tidings run'")
        return self._log

    @property
    def has_open_log(self) -> bool:
        """Can it be published to at once?"""
        return self._log is not None

    @property
    def outgoing(self) -> Outgoing:
        """What makes its events.

        Raises:
            ConfigurationError: the application is not open.
        """
        if self._outgoing is None:
            raise ConfigurationError(f"{self.name} is not open: use 'async with app:', app.run() or 'tidings run'")
        return self._outgoing

    @property
    def is_in_memory(self) -> bool:
        """Is its log in the memory of one process?"""
        return self.log_url is not None and self.log_url.startswith("memory:")

    @property
    def is_bound(self) -> bool:
        """Does it live on one event loop alone, as its log or broker has nothing to keep the threads of two apart?"""
        return self.is_in_memory or (self.broker_url is not None and not is_log(self.broker_url))

    async def __aenter__(self) -> Self:
        """Open the log and the broker; no handler runs yet."""
        async with self._opening:
            if not self._open_count:
                await self._open()
            self._check_loop()
            self._open_count += 1
        return self

    async def __aexit__(self, *raised: object) -> None:
        async with self._opening:
            self._open_count -= 1
            if not self._open_count:
                await self._close()

    async def _ready(self) -> tuple[Log, Outgoing]:
        """What publishing to the log takes."""
        return self.log, await self._prepared()

    async def _prepared(self) -> Outgoing:
        """What makes events. Inside a handler its event, which may have been read lean, is a cause: made whole."""
        outgoing, known = self.outgoing, cause()
        if known is not None:
            item, complete = known
            await complete([item])
        return outgoing

    async def _deliver(self, events: Sequence[Event]) -> None:
        """Hand events over that handlers of the broker returned: to the log where there is one, else to the broker.

        Raises:
            BrokerError, LogError: they were not taken.
        """
        if self._log is None:
            outlet = self._gathering or self._broker
            assert outlet is not None
            await outlet.publish(events)
            return
        assert self._outgoing is not None
        for public in (True, False):
            those = [event for event in events if self._outgoing.is_public(event.type) is public]
            if those:
                await self._log.absorb(those, public=public)

    def _check_loop(self) -> None:
        if self.is_bound and self.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                f"{self.name} is open on another event loop, and a log in memory or a broker's connection lives on one:"
                " let app.run() begin before app.sync is used"
            )

    async def _open(self) -> None:
        self.loop, self.opened_by = asyncio.get_running_loop(), os.getpid()
        try:
            self._outgoing = Outgoing(self.name, self.catalog(), self.clock)
            if self.log_url is not None:
                self._log = await self._open_log(self.log_url, clock=self.clock, **self._log_settings)
                self._log.ledger.keeps_lineage = self._keeps_lineage
            if self.broker_url is not None:
                self._broker = await self._connect(self.broker_url, clock=self.clock, channels=self.channels)
                self._gathering = None if is_log(self.broker_url) else Gathering(self._broker)
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        for desk in self._desks.values():
            await desk.close()
        room, self._listening = self._listening, None
        if room is not None:
            room.close()
        self.loop = self.opened_by = None
        gathering, self._gathering = self._gathering, None
        broker, self._broker = self._broker, None
        log, self._log = self._log, None
        try:
            if gathering is not None:
                await gathering.close()
            if broker is not None:
                await broker.close()
        finally:
            if log is not None:
                await log.close()
