"""`Gathering`: what many callers publish at a time, handed to a carrier in few sends, as a log commits in groups.

A send of its own for each of many small calls is what makes them slow, on every server alike; so this stands before all
of them. Whoever comes while nothing is under way is sent at once, in its own task, and waits for nobody. Whoever comes
meanwhile shares the next send, in the order of the calls. A failure is told to those it concerns: an event that is
refused, to its caller alone.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from copy import copy
from typing import Final, NamedTuple

import msgspec

from tidings.brokers.interface import Broker
from tidings.errors import BrokerUnreachable, EventRefused, IdReused, InvalidEvent, LogUnreachable, TidingsError
from tidings.events import Event

MOST_EVENTS: Final = 1000  # of several calls in one send; a call's own are never parted
MOST_BYTES: Final = 4 * 1024 * 1024  # of their data
_PATIENCE: Final = 5.0  # seconds for trying calls one by one, after a send of all of them failed
_AWAY: Final = (BrokerUnreachable, LogUnreachable)  # nobody's event is to blame, and another try would take as long


class _Call(NamedTuple):
    """Events that somebody waits for."""

    events: Sequence[Event]
    taken: "asyncio.Future[None]"


class Gathering:
    """The way of one application's publishes to its broker. Used on one event loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: deque[_Call] = deque()
        self._is_sending = False
        self._task: asyncio.Task[None] | None = None  # which sends for those who waited
        self._idle = asyncio.Event()
        self._idle.set()

    async def publish(self, events: Sequence[Event]) -> None:
        """As `Broker.publish`: in the order of the calls, and each call fails by itself.

        A call that is cancelled before its send began is not sent. When the carrier cannot be reached, whoever waits
        is told so at once.

        Raises:
            EventRefused, InvalidEvent: the carrier takes no such event; no other call is concerned.
            BrokerError, LogError, ConfigurationError: some or none of them were taken; publish all of them again.
        """
        if self._is_sending:
            call = _Call(events, asyncio.get_running_loop().create_future())
            self._waiting.append(call)
            await call.taken
            return
        self._is_sending = True
        self._idle.clear()
        try:
            await self._broker.publish(events)
        except _AWAY as error:
            self._tell_all(error)
            raise
        finally:
            self._go_on()

    async def close(self) -> None:
        """Returns when all that was handed over is answered; a carrier that is away answers within its timeout."""
        while self._is_sending:
            await self._idle.wait()

    def _go_on(self) -> None:
        """A send has ended: those who waited are next."""
        if self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._send_waiting())
        else:
            self._is_sending = False
            self._idle.set()

    async def _send_waiting(self) -> None:
        calls: list[_Call] = []
        try:
            while calls := self._next():
                await self._send(calls)
        finally:  # a loop that ends cancels this, and nobody is left waiting
            for call in (*calls, *self._waiting):
                call.taken.cancel()
            self._waiting.clear()
            self._is_sending, self._task = False, None
            self._idle.set()

    def _next(self) -> list[_Call]:
        """The calls that share the next send."""
        calls: list[_Call] = []
        count = size = 0
        while self._waiting:
            call = self._waiting[0]
            if not call.taken.done():  # its caller still waits
                count += len(call.events)
                size += sum(map(_size, call.events))
                if calls and (count > MOST_EVENTS or size > MOST_BYTES):
                    break
                calls.append(call)
            self._waiting.popleft()
        return calls

    async def _send(self, calls: list[_Call]) -> None:
        """One send for all of them; without those whose event it refuses, once more for the others."""
        while calls:
            try:
                await self._broker.publish([event for call in calls for event in call.events])
            except Exception as error:
                to_blame = [call for call in calls if len(calls) == 1 or _is_of(error, call)]
                if not to_blame or isinstance(error, _AWAY):
                    await self._go_separately(calls, error)
                    return
                _tell(to_blame, error)
                calls = [call for call in calls if not call.taken.done()]
            else:
                _tell(calls)
                return

    async def _go_separately(self, calls: Sequence[_Call], error: Exception) -> None:
        """It failed, and does not say by whose event: one channel of several may be forbidden, say."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        for number, call in enumerate(calls):
            if isinstance(error, _AWAY) or loop.time() > until:
                _tell(calls[number:], error)
                self._tell_all(error)
                return
            try:
                await self._broker.publish(call.events)
            except Exception as raised:
                error = raised
                _tell([call], error)
            else:
                _tell([call])

    def _tell_all(self, error: Exception) -> None:
        """Nothing of those who wait was sent, and it would take them as long to learn that nobody is there."""
        _tell(self._waiting, error)
        self._waiting.clear()


def _is_of(error: Exception, call: _Call) -> bool:
    """Is it about an event of this call?"""
    if isinstance(error, EventRefused | InvalidEvent):
        return any(event.id == error.event_id for event in call.events)
    return isinstance(error, IdReused) and any(event.id == error.id for event in call.events)


def _tell(calls: Sequence[_Call] | deque[_Call], error: Exception | None = None) -> None:
    for call in calls:
        if call.taken.done():
            continue  # nobody waits any more
        if error is None:
            call.taken.set_result(None)
        else:  # each its own, as whoever raises it writes its traceback into it
            own = copy(error).with_traceback(error.__traceback__) if isinstance(error, TidingsError) else error
            call.taken.set_exception(own)


def _size(event: Event) -> int:
    """The bytes of its data, as far as that is written already."""
    data = event.data
    return memoryview(data).nbytes if isinstance(data, msgspec.Raw | bytes | bytearray) else 0
