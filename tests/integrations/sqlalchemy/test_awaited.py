"""`Outbox` in async sessions on SQLite, by aiosqlite: the same, and no event loop stands still."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from tests.app.test_sync import recorded
from tests.handling.stage import Heard, OrderCreated
from tests.integrations.sqlalchemy.stage import Base, Line, Order, orders
from tidings import App
from tidings.errors import ConfigurationError, ContractError, IdReused
from tidings.integrations.sqlalchemy import Outbox
from tidings.log.record import envelope_of


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[OrderCreated]) as app:
        yield app


@pytest.fixture
async def engine(app: App) -> AsyncIterator[AsyncEngine]:
    engine = await asyncio.to_thread(create_async_engine, str(app.log_url).replace("sqlite:", "sqlite+aiosqlite:"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


@pytest.fixture
async def outbox(app: App, engine: AsyncEngine) -> Outbox:
    return Outbox(app, engine)


async def kept(app: App) -> tuple[list[str], list[int]]:
    return await asyncio.to_thread(recorded, app), await asyncio.to_thread(orders, app)


class Undo(Exception):
    """Raised to leave a block."""


async def test_a_commit_keeps_state_and_event_and_a_rollback_neither(
    app: App, engine: AsyncEngine, outbox: Outbox
) -> None:
    async with AsyncSession(engine) as session:
        for number, end in enumerate([session.commit, session.rollback, session.commit, session.close]):
            session.add(Order(id=number))
            outbox.publish(session, OrderCreated(number), id=f"id-{number}")
            await end()
        outbox.publish(session, "order:noted", 4, id="alone")
        await session.commit()

    assert await kept(app) == (["id-0", "id-2", "alone"], [0, 2])


async def test_savepoints(app: App, engine: AsyncEngine, outbox: Outbox) -> None:
    async with async_sessionmaker(engine).begin() as session:
        async with session.begin_nested():
            session.add(Order(id=1))
            outbox.publish(session, "order:noted", 1, id="released")
        with contextlib.suppress(Undo):
            async with session.begin_nested():
                session.add(Order(id=2))
                outbox.publish(session, "order:noted", 2, id="undone")
                raise Undo
    async with AsyncSession(engine) as session:
        async with session.begin_nested():
            session.add(Order(id=3))
            outbox.publish(session, "order:noted", 3, id="taken back")
        await session.rollback()

    assert await kept(app) == (["released"], [1])


async def test_an_async_scoped_session(app: App, engine: AsyncEngine, outbox: Outbox) -> None:
    scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
    scoped.add(Order(id=1))
    outbox.publish(scoped, "order:noted", 1, id="one")
    await scoped.commit()
    await scoped.remove()

    assert await kept(app) == (["one"], [1])


async def test_what_cannot_be_recorded_is_refused_and_the_session_goes_on(
    app: App, engine: AsyncEngine, outbox: Outbox
) -> None:
    async with AsyncSession(engine) as session:
        with pytest.raises(ContractError):
            outbox.publish(session, "order:created", {"order_id": "no number"})
        outbox.publish(session, "order:noted", 1, id="one")
        await session.commit()
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 2, id="one")
        with pytest.raises(IdReused):
            await session.commit()
        await session.rollback()
        outbox.publish(session, "order:noted", 3, id="two")
        await session.commit()

    assert await kept(app) == (["one", "two"], [])


async def test_a_commit_that_fails_leaves_nothing_and_the_session_goes_on(
    app: App, engine: AsyncEngine, outbox: Outbox
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("PRAGMA foreign_keys = ON"))
        session.add(Line(id=1, order_id=7))  # no such order: SQLite refuses the COMMIT itself
        outbox.publish(session, "order:noted", 1, id="lost")
        with pytest.raises(IntegrityError):
            await session.commit()
        await session.rollback()
        outbox.publish(session, "order:noted", 2, id="kept")
        await session.commit()

    assert await kept(app) == (["kept"], [])


async def test_an_engine_of_another_database_is_refused(app: App, tmp_path: Path) -> None:
    engine = await asyncio.to_thread(create_async_engine, f"sqlite+aiosqlite:///{tmp_path}/other.db")
    async with AsyncSession(engine) as session:
        Outbox(app, engine).publish(session, "order:noted", 1)
        with pytest.raises(ConfigurationError, match=r"other\.db.*log\.db"):
            await session.commit()
    await engine.dispose()

    assert await asyncio.to_thread(recorded, app) == []


async def test_handlers_hear_it_and_a_handler_publishes_in_a_session_of_its_own(
    app: App, engine: AsyncEngine, outbox: Outbox
) -> None:
    heard: Heard[int] = Heard()

    @app.on(OrderCreated)
    async def place(order: OrderCreated) -> None:
        async with AsyncSession(engine) as session:
            session.add(Order(id=order.order_id))
            async with session.begin_nested():  # at whose end it is written, and its cause known
                outbox.publish(session, "order:placed", order.order_id, id=f"placed-{order.order_id}")
            outbox.publish(session, "order:placed", order.order_id, id=f"placed-{order.order_id}")
            await session.commit()

    @app.on("order:placed")
    async def note(placed: int) -> None:
        heard.note(placed)

    async with app.running(), AsyncSession(engine) as session:
        created = outbox.publish(session, OrderCreated(7))
        await session.commit()
        await heard.reach(1)
        (placed,) = (await app.log.find("placed-7")).records

    assert (envelope_of(placed, "").causation_id, envelope_of(placed, "").key) == (created, "7")
    assert (await kept(app))[1] == [7]


async def test_many_sessions_at_once_beside_the_logs_own_writers(app: App, engine: AsyncEngine, outbox: Outbox) -> None:
    async def work(worker: int) -> None:
        for number in range(10):
            async with AsyncSession(engine) as session:
                session.add(Order(id=worker * 10 + number))
                outbox.publish(session, OrderCreated(worker * 10 + number))
                await (session.commit() if number % 2 == 0 else session.rollback())
            await app.publish("order:noted", number)

    async with asyncio.TaskGroup() as workers:
        for worker in range(6):
            workers.create_task(work(worker))

    events, placed = await kept(app)
    assert placed == [worker * 10 + number for worker in range(6) for number in range(0, 10, 2)]
    assert len(events) == 30 + 60
