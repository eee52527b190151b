"""`app.sync`: the application for callers without an event loop: views of Flask and Django, scripts, threads.

Each call is one of `App`'s, run on one portal thread that opens the application at the first use, beside `app.run()` if
that goes on in this process too. A log in memory lives on one event loop alone: there the calls go to that one.
"""

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar, overload

import msgspec

from tidings.address import redacted
from tidings.app.health import Health
from tidings.app.portal import Portal, Work
from tidings.app.transaction import AppTransaction, ExistingTransaction, joined
from tidings.concurrency import here
from tidings.errors import ConfigurationError, LogClosed, LogLocked, NoAnswer, UsedAfterFork, WouldBlock
from tidings.events import Event
from tidings.handling.delivery import current
from tidings.handling.outgoing import Outgoing
from tidings.handling.timing.later import Delay
from tidings.log import Log

Result = TypeVar("Result")
TIMEOUT = 30.0  # seconds; a log gives up earlier by itself, behind another writer after 10
_AWAITED = {"transaction": "async with app.transaction()", "open": "async with app"}
_OPEN_FIRST = "if that is this one, by the transaction itself, say app.sync.open() before it begins"
_FORKED = "let its first use be after the fork, or call app.sync.close() before it"


class SyncTransaction:
    """Statements and events that are recorded now and committed together when the block ends."""

    def __init__(self, tx: AppTransaction, door: "SyncDoor") -> None:
        self._tx = tx
        self._door = door

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, as last committed."""
        return self._door.wait_for("transaction", lambda: self._tx.fetch(sql, parameters))

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> None:
        """Record a statement; with `rows`, one that must touch so many rows or nothing is committed.

        Raises:
            TransactionMisuse: it would end the transaction.
        """
        self._tx.execute(sql, parameters, rows=rows)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Record one statement with many sets of parameters."""
        self._tx.executemany(sql, parameters)

    def publish(self, value: Any, data: Any = None, **attributes: Any) -> str:
        """Record an event, as `app.publish` does, and give its id.

        Raises:
            ContractError, InvalidEvent: it cannot be recorded.
        """
        return self._tx.publish(value, data, **attributes)


class SyncDoor:
    """What `App` can do, for many threads at once and without `await`. Its portal closes at exit, or by `close`.

    An error is the one `await` would raise. No call waits longer than `timeout` seconds.

    Raises:
        WouldBlock: it is called where an event loop runs, in a handler with `tx`, or in a block that uses
            `existing`; from each call.
        NoAnswer: the time is over.
        UsedAfterFork: the application was opened before this process was forked.
    """

    def __init__(self, app: Any) -> None:  # an App: to name the type would make a ring of imports
        self.timeout = TIMEOUT
        self._app = app
        self._portal: Portal | None = None
        self._locks: dict[int, threading.Lock] = {}  # one a process: a fork must not inherit one that is held

    def publish(
        self,
        event: Any,
        data: Any = msgspec.UNSET,
        *,
        id: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        correlation_id: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
        delay: Delay | None = None,
        at: datetime | None = None,
    ) -> Event:
        """Publish an event and return it as recorded, once it is safe; see `App.publish`."""
        if delay is None and at is None and self._app.log_url is not None and current.get() is None:  # no cause to read
            log, outgoing = self._opened("publish")
            if log.append_blocking is not None:
                made = outgoing.event(
                    event, data=data, id=id, key=key, subject=subject, correlation_id=correlation_id, headers=headers
                )
                return self._append(log, made, public=outgoing.is_public(made.type))
        given = {"id": id, "key": key, "subject": subject, "correlation_id": correlation_id, "headers": headers}
        work = partial(self._app.publish, event, data, delay=delay, at=at, **given)
        published: Event = self.wait_for("publish", work)
        return published

    def publish_many(
        self, events: Sequence[Any], *, delay: Delay | None = None, at: datetime | None = None
    ) -> list[Event]:
        """Publish values or Events in one append, or later, all of them or none; see `App.publish_many`."""
        return self.wait_for("publish_many", lambda: self._app.publish_many(events, delay=delay, at=at))

    def cancel(self, event: str | Event) -> bool:
        """Have an event that was published with `delay` or `at` never take place; see `App.cancel`."""
        cancelled: bool = self.wait_for("cancel", lambda: self._app.cancel(event))
        return cancelled

    def send(
        self,
        command: Any,
        data: Any = msgspec.UNSET,
        *,
        id: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        correlation_id: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
    ) -> Event:
        """Record a command for the one group that handles it; see `App.send`."""
        given = {"id": id, "key": key, "subject": subject, "correlation_id": correlation_id, "headers": headers}
        sent: Event = self.wait_for("send", lambda: self._app.send(command, data, **given))
        return sent

    def ask(
        self,
        question: Any,
        data: Any = msgspec.UNSET,
        *,
        returns: Any = None,
        timeout: float = 5.0,
        key: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
    ) -> Any:
        """Ask a question and return its answer; see `App.ask`. `app.sync.timeout` limits it, too."""
        given = {"returns": returns, "timeout": timeout, "key": key, "headers": headers}
        return self.wait_for("ask", lambda: self._app.ask(question, data, **given))

    @overload
    def transaction(self) -> AbstractContextManager[SyncTransaction]: ...
    @overload
    def transaction(self, *, existing: object) -> AbstractContextManager[ExistingTransaction]: ...
    def transaction(self, *, existing: object = None) -> AbstractContextManager[Any]:
        """SQL of your own and events in one commit; see `App.transaction`. With `existing`, on this thread."""
        return self._recorded() if existing is None else self._existing(existing)

    def ring(self) -> None:
        """Wake the readers for what was committed on a connection of your own; see `App.ring`. Waits for nothing."""
        self._submit(self._app.ring).add_done_callback(_heard)

    def health(self) -> Health:
        """How it does; see `App.health`."""
        health: Health = self.wait_for("health", self._app.health)
        return health

    def open(self) -> None:
        """Open the application now and not at the first use: the tables are made, and what is wrong with it shows."""
        self.wait_for("open", _nothing)

    def close(self) -> None:
        """Finish what is under way and close what was opened here; the next use opens it again."""
        with self._lock():
            portal, self._portal = self._portal, None
        atexit.unregister(self.close)
        if portal is not None and portal.pid == os.getpid():
            portal.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def wait_for(self, call: str, work: Work[Result]) -> Result:
        """Run `work` where the application is open, and wait for what comes of it."""
        _check_may_wait(call)
        future = self._submit(work)
        try:
            return future.result(self.timeout)
        except CancelledError:
            raise LogClosed(redacted(self._app.log_url or "")) from None  # the loop it was to run on has ended
        except TimeoutError:
            if future.done():
                raise  # it is the work's own
            raise NoAnswer(call, self.timeout) from None
        finally:
            future.cancel()  # whatever ended the wait, a KeyboardInterrupt too: nobody wants it any more

    def _append(self, log: Log, event: Event, *, public: bool) -> Event:
        """Record an event on this very thread: a hop to the portal and its answer would cost more than the rest."""
        assert log.append_blocking is not None
        try:
            appended = log.append_blocking([event], public=public, timeout=self.timeout)
        except TimeoutError:
            raise NoAnswer("publish", self.timeout) from None
        return msgspec.structs.replace(event, position=appended.first)

    def _submit(self, work: Work[Result]) -> Future[Result]:
        with self._lock():
            self._check_process()
            loop = self._app.loop
            if self._app.is_bound and loop is not None and (self._portal is None or self._portal.loop is not loop):
                if loop.is_closed():
                    raise ConfigurationError(
                        f"{self._app.name} was opened on an event loop that has ended: leave 'async with app' before"
                        " its loop ends"
                    )
                return asyncio.run_coroutine_threadsafe(self._while_open(work), loop)
            while self._portal is None or (future := self._portal.submit(work)) is None:
                self._portal = Portal(self._app)
                atexit.register(self.close)
            return future

    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    async def _while_open(self, work: Work[Result]) -> Result:
        if self._app.loop is not asyncio.get_running_loop():  # it has closed meanwhile, and its log is gone
            raise LogClosed(redacted(self._app.log_url or ""))
        return await work()

    def _check_process(self) -> None:
        opened_by = self._app.opened_by if self._portal is None else self._portal.pid
        if opened_by not in (None, os.getpid()):
            raise UsedAfterFork(opened_by, os.getpid(), redacted(self._app.log_url or ""), advice=_FORKED)

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[SyncTransaction]:
        block = self._app.transaction()
        tx = self.wait_for("transaction", block.__aenter__)
        try:
            yield SyncTransaction(tx, self)
        except BaseException as raised:
            error = raised
            self.wait_for("transaction", lambda: block.__aexit__(type(error), error, error.__traceback__))
            raise
        self.wait_for("transaction", lambda: block.__aexit__(None, None, None))

    @contextlib.contextmanager
    def _existing(self, connection: object) -> Iterator[ExistingTransaction]:
        log, outgoing = self._opened("transaction")
        with joined(log, outgoing, connection) as tx:
            yield tx

    def _opened(self, call: str) -> tuple[Log, Outgoing]:
        """The open log, and what makes events for it."""
        _check_may_wait(call)
        if self._portal is not None and self._portal.is_open:  # it stays open, so that nobody need be asked
            self._check_process()
            return self._app.log, self._app._outgoing
        try:
            opened: tuple[Log, Outgoing] = self.wait_for(call, self._app._ready)
        except LogLocked as error:
            raise LogLocked(error.pid, error.path, advice=_OPEN_FIRST) from error
        return opened


def _check_may_wait(call: str) -> None:
    """Refuse where the caller would stop everybody else.

    Raises:
        WouldBlock: an event loop runs in this thread, or the log's writer.
    """
    if asyncio._get_running_loop() is not None:
        raise WouldBlock(call, "the event loop of this thread", f"use {_AWAITED.get(call, f'await app.{call}(...)')}")
    if here.is_awaited_by:
        raise WouldBlock(call, here.is_awaited_by, "use tx, or in a handler return the event")


def _heard(ring: "Future[None]") -> None:
    """A ring is a hint: one that failed is made up for by the readers' slow look."""
    if not ring.cancelled():
        ring.exception()


async def _nothing() -> None:
    """The application is open."""
