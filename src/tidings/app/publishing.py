"""`Publishing`: how events get into an application's log, and how its own code listens to them."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, overload

import msgspec

from tidings.app.asking import Desk
from tidings.app.commands import check_sole_handler
from tidings.app.opening import Opening
from tidings.app.transaction import AppTransaction, ExistingTransaction, recorded
from tidings.app.transaction import existing as joining
from tidings.errors import ConfigurationError
from tidings.events import Contract, Event
from tidings.handling.asking import REPLY_TO, answer_name, read
from tidings.handling.listening import Listener, ListeningRoom
from tidings.handling.subscription import Subscription
from tidings.handling.timing.later import Delay


class Publishing(Opening):
    """An open application that takes events; handlers need not run."""

    async def publish(
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
        """Publish an `@event` value, an Event, or a name with `data`; returns it as recorded, once it is safe.

        With `delay` (seconds or timedelta) or `at` (a datetime with its timezone) it is recorded then, not before, by
        whichever process does the application's chores; until then it has no position and can be cancelled. Its time
        is that moment. What it says, and causes, are fixed now. A moment that has come already is now.

        With the same `id` again it is recorded once. Inside a handler it is caused by what is being handled, and it is
        recorded at once, apart from the settlement: a handler that is run again publishes again. What must happen once
        is to be returned, or published with an `id` of its own.

        Raises:
            ContractError, InvalidEvent, InvalidName: it cannot be recorded as it is.
            LogError, BrokerError: the log, or the broker where there is no log, did not take it.
        """
        outgoing = await self._prepared()
        made = outgoing.event(
            event, data=data, id=id, key=key, subject=subject, correlation_id=correlation_id, headers=headers
        )
        if self.log_url is None and delay is None and at is None:
            await self._deliver([made])
            return made
        log = self.log
        if delay is not None or at is not None:
            later = outgoing.later(made, event, delay=delay, at=at)
            if later is not None:
                await log.ledger.timers.schedule([later[1]])
                return later[0]
        appended = await log.append([made], public=outgoing.is_public(made.type))
        return msgspec.structs.replace(made, position=appended.first)

    async def publish_many(
        self, events: Sequence[Any], *, delay: Delay | None = None, at: datetime | None = None
    ) -> list[Event]:
        """Publish values or Events in one append, or later as with `publish`: all of them or none.

        Raises:
            ContractError, InvalidEvent, InvalidName, LogError: none was recorded.
            ConfigurationError: some are public and some private, or one is of no contract.
        """
        outgoing, events = await self._prepared(), list(events)
        made = outgoing.events(events)
        if self.log_url is None and delay is None and at is None:
            await self._deliver(made)
            return made
        if delay is not None or at is not None:
            later = outgoing.all_later(made, events, delay=delay, at=at)
            if later is not None:
                await self.log.ledger.timers.schedule([timer for _, timer in later])
                return [event for event, _ in later]
        public = {outgoing.is_public(type) for type in {each.type for each in made}}
        if len(public) > 1:
            raise ConfigurationError("public and private events cannot be published together: publish them apart")
        await self.log.append(made, public=public != {False})
        return made

    async def cancel(self, event: str | Event) -> bool:
        """Have an event that was published with `delay` or `at` never take place, named by id or as it was returned.

        False when it is recorded already, or was never scheduled: then nothing is changed. When it is cancelled while
        it fires, one of the two happens, and the answer says which.
        """
        event_id, source = (event.id, event.source) if isinstance(event, Event) else (event, self.name)
        return await self.log.ledger.timers.cancel(event_id, source)

    async def send(
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
        """Record a command: like `publish`, but for exactly one group that handles it.

        When a group of this application hears it, it is private to this service. When none does and there is a broker,
        it goes to the service that hears it: name a command so that only one does.

        Raises:
            NotOneHandler: no group of this application hears it and there is no broker, or several do; nothing was
                recorded.
            ContractError, InvalidEvent, InvalidName, LogError, BrokerError: as for `publish`.
        """
        outgoing = await self._prepared()
        made = outgoing.event(
            command, data=data, id=id, key=key, subject=subject, correlation_id=correlation_id, headers=headers
        )
        return await self._command(made)

    async def ask(
        self,
        question: Any,
        data: Any = msgspec.UNSET,
        *,
        returns: Any = None,
        timeout: float = 5.0,
        key: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
    ) -> Any:
        """Ask a question, and return what its handler returns, of this application or another service.

        A question is an event like any other, and its handler a handler like any other: what it returns goes to who
        asked instead of being published. The answer is read as the type `returns`, else by the contract it names, else
        plainly. A handler that fails is tried again at once as its rules say, and then its failure is the answer.

        Raises:
            Unanswered: no answer came within `timeout` seconds; a handler may have run all the same.
            AnswerFailed: the handler failed, or refused.
            NotOneHandler: as for `send`.
            ContractError: the question, or its answer, is not as its contract says.
            LogError, BrokerError: the question was not taken.
        """
        outgoing = await self._prepared()
        named = {**(headers or {}), REPLY_TO: answer_name(self.name)}
        made = outgoing.event(question, data=data, key=key, headers=named)
        desk = self._desks.setdefault(asyncio.get_running_loop(), Desk(self.name))
        answer = await desk.ask(made, lambda: self._hear(desk, made.type), lambda: self._command(made), timeout)
        return read(answer, self.catalog(), returns, made.type)

    async def _hear(self, desk: Desk, type: str) -> None:
        """See to it that the answers to this question are heard."""
        if self._log is not None and any(each.matcher().matches(type) for each in self._subscriptions):
            room = self._listening = self._listening or ListeningRoom(self._log)
            await desk.hear_log(room)
        if self._broker is not None and not (self._log is not None and self._is_heard_here(type)):
            await desk.hear_broker(self._broker)

    async def _command(self, made: Event) -> Event:
        """To the one group of this application that hears it; else, by the broker, to another service."""
        here = self._is_heard_here(made.type)
        if here or self._broker is None:
            check_sole_handler(self._heard_here(), made.type)
        if self._log is None:
            await self._deliver([made])
            return made
        appended = await self._log.append([made], public=not here)
        return msgspec.structs.replace(made, position=appended.first)

    def _is_heard_here(self, type: str) -> bool:
        return any(each.matcher().matches(type) for each in self._heard_here())

    def _heard_here(self) -> list[Subscription]:
        """Those that hear what is recorded in the log; without one, all. What hears the broker is as if elsewhere."""
        return [each for each in self._subscriptions if not each.direct or self.log_url is None]

    @overload
    def transaction(self) -> AbstractAsyncContextManager[AppTransaction]: ...
    @overload
    def transaction(self, *, existing: object) -> AbstractAsyncContextManager[ExistingTransaction]: ...
    def transaction(self, *, existing: object = None) -> AbstractAsyncContextManager[Any]:
        """SQL of your own and events in one commit: `tx.execute(...)`, `tx.publish(...)`. Raising forgets both.

        With `existing`, a connection of your own to the log's database (SQLite: a `sqlite3.Connection`), each is
        written on it at once, on this thread, in the transaction that you have begun: your commit keeps both and your
        rollback neither; `ring` then wakes the handlers at once. With `app.sync` the block may begin it, too.

        Without it, events whose ids are recorded already mean that all of it was committed before: then nothing is run.

        Raises:
            ConfigurationError: it is no connection to that database, is in no transaction, or does not fsync.
            LogLocked: another connection is writing, or has written since this one read.
        """
        return recorded(self._ready) if existing is None else joining(self._ready, existing)

    async def ring(self) -> None:
        """Wake the handlers for events committed on a connection of your own; unasked, they look twice a second."""
        await self.log.ring()

    def listen(
        self,
        *heard: str | type | Contract,
        after: Literal["earliest", "latest"] | str = "latest",
        events: bool = False,
        undecodable: Literal["raise", "skip"] = "raise",
    ) -> Listener:
        """Live events as an async iterator: `async for order in app.listen("order:*")`; no name: all of them.

        Each is the value a handler would get; with `events` the whole Event. It begins behind `after`, `latest` being
        where the log ends at the first step, or at `async with app.listen(...) as orders`. It ends when the application
        closes. No group is recorded: nothing is remembered or tried again.

        Raises:
            ConfigurationError, InvalidName: the application is not open, or nothing can be heard so.
        """
        room = self._listening = self._listening or ListeningRoom(self.log)
        return room.listen(heard, self.catalog(), after=after, events=events, undecodable=undecodable)
