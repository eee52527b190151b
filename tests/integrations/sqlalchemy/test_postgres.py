"""`Outbox` on a log in Postgres, by psycopg: sync sessions and async ones."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.app.test_sync import LIMIT, Background
from tests.handling.stage import Heard, OrderCreated
from tests.integrations.sqlalchemy.stage import Base, Line, Order
from tidings import App
from tidings.errors import ConfigurationError, IdReused
from tidings.integrations.sqlalchemy import Outbox
from tidings.log import START
from tidings.log.record import envelope_of, restore

NUMBER = text("SELECT pg_current_xact_id_if_assigned()::text")


class Undo(Exception):
    """Raised to leave a block."""


@pytest.fixture
def app(postgres_url: str) -> Iterator[App]:
    app = App("shop", postgres_url, contracts=[OrderCreated])
    yield app
    app.sync.close()


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url.partition("&schema=")[0].replace("postgresql:", "postgresql+psycopg:", 1)


@pytest.fixture
def engine(app: App, url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
async def async_engine(engine: Engine, url: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(url)
    yield made
    await made.dispose()


async def awaited(app: App) -> list[str]:
    """The ids of what is recorded."""
    return [restore(record, "").id for record in (await app.log.scan(START)).records]


def recorded(app: App) -> list[str]:
    return app.sync.wait_for("scan", lambda: awaited(app))


def orders(engine: Engine) -> list[int]:
    with Session(engine) as session:
        return list(session.scalars(select(Order.id).order_by(Order.id)))


def test_a_commit_keeps_state_and_event_and_a_rollback_neither(app: App, engine: Engine) -> None:
    outbox = Outbox(app, engine)
    with Session(engine) as session:
        for number, end in enumerate([session.commit, session.rollback, session.commit, session.close]):
            session.add(Order(id=number))
            outbox.publish(session, OrderCreated(number), id=f"id-{number}")
            end()
        ids = [outbox.publish(session, "order:noted", number) for number in range(150)]
        session.commit()

    assert (recorded(app), orders(engine)) == (["id-0", "id-2", *ids], [0, 2])


def test_savepoints(app: App, engine: Engine) -> None:
    outbox = Outbox(app, engine)
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 0, id="before")
        with session.begin_nested():
            session.add(Order(id=1))
            outbox.publish(session, "order:noted", 1, id="released")
        with contextlib.suppress(Undo), session.begin_nested():
            with session.begin_nested():
                session.add(Order(id=2))
                outbox.publish(session, "order:noted", 2, id="undone")
            raise Undo
        session.commit()
        with session.begin_nested():
            outbox.publish(session, "order:noted", 3, id="taken back")
        session.rollback()

    assert (recorded(app), orders(engine)) == (["before", "released"], [1])


def test_a_transaction_that_only_reads_holds_back_nobody_before_its_commit(app: App, engine: Engine) -> None:
    outbox = Outbox(app, engine)
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1, id="early")
        assert session.scalars(NUMBER).one() is None
        app.sync.publish("order:noted", 2, id="meanwhile")
        assert recorded(app) == ["meanwhile"]
        session.commit()

    assert recorded(app) == ["meanwhile", "early"]


def test_a_commit_that_fails_leaves_nothing_and_the_session_goes_on(app: App, engine: Engine) -> None:
    outbox = Outbox(app, engine)
    with Session(engine) as session:
        session.add(Line(id=1, order_id=7))  # no such order: Postgres refuses the COMMIT itself
        outbox.publish(session, "order:noted", 1, id="lost")
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        outbox.publish(session, "order:noted", 2, id="kept")
        session.commit()
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 3, id="kept")
        with pytest.raises(IdReused):
            session.commit()
        session.rollback()
        for number, name in enumerate(["kept", "new"], 2):  # one of them is recorded
            outbox.publish(session, "order:noted", number, id=name)
        session.commit()

    assert (recorded(app), orders(engine)) == (["kept", "new"], [])


def test_engines_that_cannot_keep_the_promise_are_refused(app: App, engine: Engine, url: str) -> None:
    database = engine.url.database
    assert database is not None
    for given, message in (
        (create_engine(url, isolation_level="AUTOCOMMIT"), "AUTOCOMMIT"),
        (create_engine(engine.url.set(database="postgres")), f"database postgres.*{database}"),
        (create_engine(url, connect_args={"options": "-csynchronous_commit=off"}), "synchronous_commit = on"),
    ):
        with Session(given) as session:
            Outbox(app, given).publish(session, "order:noted", 1)
            with pytest.raises(ConfigurationError, match=message):
                session.commit()
        given.dispose()

    assert recorded(app) == []


def test_handlers_hear_it(app: App, engine: Engine) -> None:
    outbox, done = Outbox(app, engine), threading.Event()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        done.set()

    with Background(app), Session(engine) as session:
        outbox.publish(session, OrderCreated(1))
        session.commit()
        assert done.wait(LIMIT)


def test_many_sessions_at_once(app: App, engine: Engine) -> None:
    outbox = Outbox(app, engine)

    def work(worker: int) -> None:
        for number in range(worker * 10, worker * 10 + 10):
            with Session(engine) as session:
                session.add(Order(id=number))
                outbox.publish(session, OrderCreated(number), id=f"id-{number}")
                session.commit() if number % 2 == 0 else session.rollback()

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(work, range(5)))

    assert sorted(recorded(app)) == sorted(f"id-{number}" for number in orders(engine))
    assert orders(engine) == list(range(0, 50, 2))


async def test_an_async_session_keeps_both_or_neither(app: App, async_engine: AsyncEngine) -> None:
    outbox = Outbox(app, async_engine)
    async with app, AsyncSession(async_engine) as session:
        for number, end in enumerate([session.commit, session.rollback, session.commit]):
            session.add(Order(id=number))
            outbox.publish(session, OrderCreated(number), id=f"id-{number}")
            await end()
        outbox.publish(session, "order:noted", 1, id="alone")
        await session.commit()

        assert await awaited(app) == ["id-0", "id-2", "alone"]
        assert list(await session.scalars(select(Order.id))) == [0, 2]


async def test_savepoints_of_an_async_session(app: App, async_engine: AsyncEngine) -> None:
    outbox = Outbox(app, async_engine)
    async with app, AsyncSession(async_engine) as session:
        outbox.publish(session, "order:noted", 0, id="before")
        with contextlib.suppress(Undo):
            async with session.begin_nested():
                async with session.begin_nested():
                    outbox.publish(session, "order:noted", 1, id="undone")
                raise Undo
        async with session.begin_nested():
            outbox.publish(session, "order:noted", 2, id="released")
        await session.commit()

        assert await awaited(app) == ["before", "released"]


async def test_an_async_commit_that_fails_leaves_nothing_and_the_session_goes_on(
    app: App, async_engine: AsyncEngine
) -> None:
    outbox = Outbox(app, async_engine)
    async with app, AsyncSession(async_engine) as session:
        session.add(Line(id=1, order_id=7))
        outbox.publish(session, "order:noted", 1, id="lost")
        with pytest.raises(IntegrityError):
            await session.commit()
        await session.rollback()
        outbox.publish(session, "order:noted", 2, id="kept")
        await session.commit()
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 3, id="kept")
        with pytest.raises(IdReused):
            await session.commit()
        await session.rollback()
        event.listen(
            session.sync_session, "after_flush", lambda each, _: outbox.publish(each, "order:noted", 4, id="hook")
        )
        session.add(Order(id=1))
        await session.commit()

        assert await awaited(app) == ["kept", "hook"]


async def test_async_engines_that_cannot_keep_the_promise_are_refused(
    app: App, async_engine: AsyncEngine, url: str
) -> None:
    for given, message in (
        (create_async_engine(url, isolation_level="AUTOCOMMIT"), "AUTOCOMMIT"),
        (create_async_engine(async_engine.url.set(database="postgres")), "database postgres"),
    ):
        async with app, AsyncSession(given) as session:
            Outbox(app, given).publish(session, "order:noted", 1)
            with pytest.raises(ConfigurationError, match=message):
                await session.commit()
        await given.dispose()


async def test_a_handler_publishes_in_an_async_session_of_its_own(app: App, async_engine: AsyncEngine) -> None:
    outbox = Outbox(app, async_engine)
    heard: Heard[Any] = Heard()

    @app.on(OrderCreated)
    async def place(order: OrderCreated) -> None:
        async with AsyncSession(async_engine) as session:
            session.add(Order(id=order.order_id))
            outbox.publish(session, "order:placed", order.order_id, id=f"placed-{order.order_id}")
            await session.commit()

    @app.on("order:placed")
    async def note(placed: int) -> None:
        heard.note(placed)

    async with app.running(), AsyncSession(async_engine) as session:
        created = outbox.publish(session, OrderCreated(7))
        await session.commit()
        await heard.reach(1)
        (placed,) = (await app.log.find("placed-7")).records

    assert (envelope_of(placed, "").causation_id, envelope_of(placed, "").key) == (created, "7")


async def test_many_async_sessions_at_once(app: App, async_engine: AsyncEngine) -> None:
    outbox = Outbox(app, async_engine)

    async def work(worker: int) -> None:
        for number in range(worker * 10, worker * 10 + 10):
            async with AsyncSession(async_engine) as session:
                session.add(Order(id=number))
                outbox.publish(session, OrderCreated(number), id=f"id-{number}")
                await (session.commit() if number % 2 == 0 else session.rollback())

    async with app:
        async with asyncio.TaskGroup() as workers:
            for worker in range(5):
                workers.create_task(work(worker))

        assert sorted(await awaited(app)) == sorted(f"id-{number}" for number in range(0, 50, 2))
