"""`Outbox`: publishing in a session, and what its commit does then.

What is published waits in memory, and is written just before the commit: late, so that a transaction that goes on for
long holds back no reader of a log in Postgres until its end.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from tidings.app import App
from tidings.errors import ConfigurationError, MissingExtra
from tidings.handling.delivery import Complete, Item, cause, current, event_of
from tidings.handling.outgoing import after
from tidings.integrations.sqlalchemy.connection import append, begin, begin_before_savepoint, in_greenlet
from tidings.integrations.sqlalchemy.pending import Entry, Pending
from tidings.log.record import Draft, draft

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    AnySession = Session | AsyncSession | scoped_session[Any] | async_scoped_session[Any]

_BEGIN_FIRST = "the session begins no transaction by itself (autobegin=False): call session.begin() before you publish"


class Outbox:
    """Publishes in sessions on `engine`, the one of the log's own database; sync or async, as the engine is.

        outbox = Outbox(app, engine)

        with Session(engine) as session:
            session.add(Order(id=1))
            outbox.publish(session, OrderCreated(1))
            session.commit()  # both are committed; then the handlers wake

    A rollback forgets the event, and so does that of the savepoint in which it was published. A session without events
    is none of its business. On SQLite, savepoints of this engine are made inside a transaction: left alone, the driver
    would commit what they release.

    Raises:
        MissingExtra: SQLAlchemy is not installed.
    """

    def __init__(self, app: App, engine: "Engine | AsyncEngine") -> None:
        self._sqlalchemy, self._asyncio = _sqlalchemy()
        self._app = app
        self._ringing: asyncio.AbstractEventLoop | None = None  # where a ring waits for its turn
        given: Any = engine
        self._engine: Engine = getattr(given, "sync_engine", given)
        if self._engine.dialect.name == "sqlite":
            self._sqlalchemy.event.listen(self._engine, "savepoint", begin_before_savepoint)

    def publish(
        self,
        session: "AnySession",
        event: Any,
        data: Any = msgspec.UNSET,
        *,
        id: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        correlation_id: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
    ) -> str:
        """Have the session's commit record an event, as `app.publish` would, and give its id; again, it is one event.

        The commit flushes the session and then writes its events, in the order they were published in. When it raises,
        nothing is kept, and the session goes on after a rollback: IdReused, LogLocked and DiskFull can come there, and
        a ConfigurationError where the database is not the log's, or its connections commit each statement by itself.

        Raises:
            ContractError, InvalidEvent, InvalidName, IdReused: it cannot be recorded as it is.
            ConfigurationError: the session is on another engine, or in no transaction and begins none by itself.
            WouldBlock: it would have to wait where an event loop runs: open the application before; in a handler that
                is `async def` use an AsyncSession.
        """
        own = self._own(session)
        self._bind(own)  # here, too, where the mistake is easily found
        given = {"id": id, "key": key, "subject": subject, "correlation_id": correlation_id, "headers": headers}
        entry = self._entry(event, data, given)
        if not own.in_transaction():
            if not own.autobegin:
                raise ConfigurationError(_BEGIN_FIRST)
            own.begin()
        self._pending(own).add(own, entry)
        return entry.draft.id

    def _own(self, session: "AnySession") -> "Session":
        """The sync session that does the work, whatever stands before it."""
        given: Any = session
        if isinstance(given, self._sqlalchemy.orm.scoped_session | self._asyncio.async_scoped_session):
            given = given()
        own: Session = getattr(given, "sync_session", given)
        return own

    def _bind(self, session: "Session") -> "Engine | Connection":
        """What the session's events are written to; a session that knows an engine for each class may have no other.

        Raises:
            ConfigurationError: it is not of the outbox's engine.
        """
        try:
            bind = session.get_bind()
        except self._sqlalchemy.exc.UnboundExecutionError:
            return self._engine
        if bind.engine.pool is not self._engine.pool:
            raise ConfigurationError(
                f"the session is on {bind.engine!r} and the outbox on {self._engine!r}: both have to be one engine, of"
                " the log's database, as they commit together"
            )
        return bind

    def _entry(self, value: Any, data: Any, given: dict[str, Any]) -> Entry:
        if not self._app.has_open_log:
            self._app.sync.open()
        origin = cause()
        if origin is not None and origin[0].record.envelope is None:  # the cause was read lean
            item, complete = origin
            if self._engine.dialect.is_async:
                return self._entry_of_lean(item, complete, value, data, given)
            self._app.sync.wait_for("publish", lambda: complete([item]))
        event = self._app.outgoing.event(value, data=data, **given)
        return Entry(draft(event, public=self._app.outgoing.is_public(event.type)))

    def _entry_of_lean(self, item: Item, complete: Complete, value: Any, data: Any, given: dict[str, Any]) -> Entry:
        """An event whose cause is added when it is written, where there is an `await` to read it with."""
        outgoing, handling = self._app.outgoing, current.set(None)
        try:
            event = outgoing.event(value, data=data, **given)
        finally:
            current.reset(handling)
        public = outgoing.is_public(event.type)

        async def finish() -> Draft:
            await complete([item])
            return draft(after(event_of(item), event), public=public)

        return Entry(draft(event, public=public), finish)

    def _pending(self, session: "Session") -> Pending:
        """What the session has published here; it is listened to from its first event on."""
        pending: Pending | None = session.info.get(self)
        if pending is None:
            pending = session.info[self] = Pending(self._write, self._ring)
            for hook in ("before_commit", "after_commit", "after_transaction_end"):
                self._sqlalchemy.event.listen(session, hook, getattr(pending, hook))
        return pending

    def _write(self, session: "Session", entries: list[Entry]) -> None:
        connection = session.connection(bind_arguments={"bind": self._bind(session)})
        begin(connection)
        for entry in entries:
            if entry.finish is not None:
                entry.draft, entry.finish = in_greenlet(entry.finish), None
        append(self._app.log, connection, [entry.draft for entry in entries])

    def _ring(self) -> None:
        """Wake the handlers: once for all commits until it comes to that. A loop that is ending need not hear it."""
        loop = self._app.loop
        if loop is None or loop is self._ringing:
            return
        self._ringing, bell = loop, self._bell()
        try:
            asyncio.run_coroutine_threadsafe(bell, loop)
        except RuntimeError:  # it has closed
            bell.close()

    async def _bell(self) -> None:
        self._ringing = None
        with contextlib.suppress(Exception):  # committed it is: the slow look finds what no bell has told
            await self._app.ring()


def _sqlalchemy() -> tuple[Any, Any]:
    try:
        import sqlalchemy.orm
        from sqlalchemy.ext import asyncio
    except ImportError:
        raise MissingExtra("sqlalchemy", "Outbox") from None
    return sqlalchemy, asyncio
