"""`LogBroker`: any log as a carrier. Publishing appends; an inbox is a named reader with a cursor in the ledger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from tidings.address import redacted
from tidings.brokers.interface import Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.log_inbox import LogInbox, travelling
from tidings.clock import Clock, SystemClock
from tidings.errors import ConfigurationError, LogClosed, LogDamaged
from tidings.events import Event, new_id
from tidings.log import Log, look_into, open_log
from tidings.log.group import Group
from tidings.log.pulse import keep_pulse
from tidings.log.record import restore

_LISTENING = 60.0  # seconds after which nothing is kept any more for one that listened without a group, and was killed


class LogBroker:
    """A carrier between services that share a log's file (or, on a server, its database).

    The log is opened when it is first needed, and again after it was found closed, or its file replaced: who publishes
    to a bus that is away for a while fails until it is back, and then goes on. With `is_for_reading` it is only looked
    at: what would change it fails.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, is_for_reading: bool = False) -> None:
        durable = not url.startswith("memory:")
        self.url = redacted(url)
        self.capabilities = Capabilities(
            durable=durable,
            groups=True,
            replay=True,
            order="total",
            delay=True,
            dead_letters=True,
            fsync=durable,
            atomic=True,
            forgets=True,
            acknowledgement="committed, and on disk" if durable else "in the memory of this process",
            settlement="committed, and on disk" if durable else "in the memory of this process",
        )
        self._url = url
        self._clock = clock
        self._open = look_into if is_for_reading else open_log
        self._log: Log | None = None
        self._opening = asyncio.Lock()

    async def publish(self, events: Sequence[Event]) -> None:
        """Append those the log does not have."""
        async with self._opened() as log:
            await log.absorb(events, public=True)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[LogInbox]:
        """Join a group; its cursor is kept in the log's ledger. Without one it has its own, as long as this lasts."""
        async with self._opened() as log:
            member = await log.ledger.enter()
            name = group or f"listening.{new_id()}"
            joined = (
                Group(name, tuple(patterns), start) if group else Group(name, tuple(patterns), "latest", _LISTENING)
            )
            ear = log.bell.listen()
            pulse = asyncio.create_task(keep_pulse(log, member))
            try:
                await log.ledger.join(joined)
                yield LogInbox(log, name, member, patterns, ear, prefetch, self._clock or SystemClock())
            finally:
                pulse.cancel()
                log.bell.forget(ear)
                with contextlib.suppress(Exception):  # the log is away, or closed: the other members notice
                    await log.ledger.leave(member)
                if group is None:
                    with contextlib.suppress(Exception):
                        await log.ledger.forget(name)

    async def groups(self) -> list[Standing]:
        """Every group that reads the log."""
        async with self._opened() as log:
            found = await log.ledger.groups()
            return [Standing(each.name, each.lag + each.retry, len(each.members), each.dead) for each in found]

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """What its ledger has as dead."""
        async with self._opened() as log:
            dead = await log.ledger.parked(group, "dead")
            return [
                DeadLetter(
                    one.group,
                    travelling(restore(one.record, one.position)),
                    one.reason,
                    one.detail,
                    one.attempts,
                    one.order,
                )
                for one in dead
                if one.record is not None
            ]

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Make it due now, or drop it."""
        async with self._opened() as log:
            change = log.ledger.retry if again else log.ledger.discard
            await change(letter.group, [letter.ticket])

    async def forget(self, group: str) -> None:
        """Forget its cursor and what it has set aside."""
        async with self._opened() as log:
            there = [each for each in await log.ledger.groups() if each.name == group]
            if any(each.members for each in there):
                raise ConfigurationError(f"{group} is run by {', '.join(there[0].members)}: stop its application first")
            if there:
                await log.ledger.forget(group)

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """A log has no channels, and its groups begin by themselves: that it is there is all there is."""
        if self.url.startswith("memory:"):
            return []
        try:
            await (await look_into(self._url)).close()
        except ConfigurationError as missing:
            if not apply:
                return [Difference(f"log {self.url}", "missing", str(missing))]
            async with self._opened():
                return [Difference(f"log {self.url}", "created")]
        return []

    async def close(self) -> None:
        """Close the log."""
        log, self._log = self._log, None
        if log is not None:
            await log.close()

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Log]:
        """The log, open. One that has shown to be of no more use is closed, and the next who asks opens it anew."""
        async with self._opening:
            log = self._log = self._log or await self._open(self._url, clock=self._clock)
        try:
            yield log
        except (LogClosed, LogDamaged):
            if self._log is log:
                await self.close()
            raise
