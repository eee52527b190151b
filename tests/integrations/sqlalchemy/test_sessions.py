"""Sessions of every kind, on engines as people set them up: what is the same, and what is refused."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.app.test_sync import LIMIT, Background, recorded
from tests.handling.stage import OrderCreated
from tests.integrations.sqlalchemy.stage import Line, Order, orders
from tidings import App
from tidings.errors import ConfigurationError, WouldBlock
from tidings.integrations.sqlalchemy import Outbox
from tidings.log.record import envelope_of


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/other.db")
    yield engine
    engine.dispose()


def test_sessionmaker_and_scoped_session(app: App, engine: Engine, outbox: Outbox) -> None:
    with sessionmaker(engine).begin() as session:
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 1, id="made")
    scoped = scoped_session(sessionmaker(engine))
    for number in (2, 3):
        scoped.add(Order(id=number))
        outbox.publish(scoped, "order:noted", number, id=f"scoped-{number}")
        scoped.commit()
        scoped.remove()

    assert (recorded(app), orders(app)) == (["made", "scoped-2", "scoped-3"], [1, 2, 3])


def test_a_session_on_a_connection_commits_with_it(app: App, engine: Engine, outbox: Outbox) -> None:
    for mode in ("create_savepoint", "rollback_only"):
        with engine.connect() as connection:
            outer = connection.begin()
            with Session(connection, join_transaction_mode=mode) as session:
                session.add(Order(id=1))
                outbox.publish(session, "order:noted", 1, id="undone")
                session.commit()
            outer.rollback()
            with connection.begin(), Session(connection, join_transaction_mode=mode) as session:
                outbox.publish(session, "order:noted", 2, id=mode)
                session.commit()

    assert (recorded(app), orders(app)) == (["create_savepoint", "rollback_only"], [])


def test_a_session_of_several_engines_writes_to_that_of_the_log(
    app: App, engine: Engine, elsewhere: Engine, outbox: Outbox
) -> None:
    with Session(binds={Order: engine, Line: elsewhere}) as session:
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 1, id="one")
        session.commit()

    assert (recorded(app), orders(app)) == (["one"], [1])


def test_an_engine_with_options_is_still_that_engine(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine.execution_options(logging_token="here")) as session:
        with session.begin_nested():
            session.add(Order(id=1))
            outbox.publish(session, "order:noted", 1, id="one")
        session.rollback()
        outbox.publish(session, "order:noted", 1, id="two")
        session.commit()

    assert (recorded(app), orders(app)) == (["two"], [])


def test_a_session_on_another_engine_is_refused_at_once(app: App, elsewhere: Engine, outbox: Outbox) -> None:
    with Session(elsewhere) as session, pytest.raises(ConfigurationError, match=r"other\.db.*log\.db"):
        outbox.publish(session, "order:noted", 1)


def test_an_engine_of_another_database_is_refused_by_the_commit(app: App, elsewhere: Engine) -> None:
    outbox = Outbox(app, elsewhere)
    with Session(elsewhere) as session:
        outbox.publish(session, "order:noted", 1)
        with pytest.raises(ConfigurationError, match=r"other\.db.*log\.db"):
            session.commit()

    assert recorded(app) == []


@pytest.mark.parametrize("pragma", ["OFF", "NORMAL"])
def test_commits_that_are_not_fsynced_are_refused(app: App, engine: Engine, outbox: Outbox, pragma: str) -> None:
    event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA synchronous = {pragma}"))
    engine.dispose()  # so that there is a new one
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1)
        with pytest.raises(ConfigurationError, match="synchronous = FULL"):
            session.commit()


def test_an_engine_that_commits_each_statement_is_refused(app: App) -> None:
    engine = create_engine(str(app.log_url), isolation_level="AUTOCOMMIT")
    outbox = Outbox(app, engine)
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1)
        with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
            session.commit()
    engine.dispose()

    assert recorded(app) == []


def test_an_engine_that_begins_by_itself_is_left_to_it(app: App, engine: Engine, outbox: Outbox) -> None:
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with Session(engine) as session:
        for number, end in enumerate([session.commit, session.rollback]):
            with session.begin_nested():
                session.add(Order(id=number))
                outbox.publish(session, "order:noted", number, id=f"id-{number}")
            end()

    assert (recorded(app), orders(app)) == (["id-0"], [0])


def test_a_session_without_autobegin_has_to_be_begun(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine, autobegin=False) as session:
        with pytest.raises(ConfigurationError, match=r"session\.begin\(\)"):
            outbox.publish(session, "order:noted", 1)
        with session.begin():
            outbox.publish(session, "order:noted", 1, id="one")

    assert recorded(app) == ["one"]


def test_a_commit_that_is_over_takes_no_event(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        event.listen(session, "after_commit", lambda each: outbox.publish(each, "order:noted", 1))
        session.add(Order(id=1))
        with pytest.raises(InvalidRequestError, match="no further SQL"):
            session.commit()


def test_a_log_in_memory_has_no_sessions() -> None:
    app, engine = App("shop"), create_engine("sqlite://")
    with Session(engine) as session:
        Outbox(app, engine).publish(session, "order:noted", 1)
        with pytest.raises(ConfigurationError, match="has no SQL"):
            session.commit()
    app.sync.close()
    engine.dispose()


async def test_an_application_that_is_not_open_is_not_opened_from_an_event_loop(tmp_path: Path) -> None:
    app, engine = App("shop", f"sqlite:///{tmp_path}/log.db"), create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(WouldBlock, match="async with app"):
        Outbox(app, engine).publish(session, "order:noted", 1)


def test_it_opens_the_application_at_its_first_use(tmp_path: Path) -> None:
    app = App("shop", f"sqlite:///{tmp_path}/log.db")
    engine = create_engine(str(app.log_url))
    with Session(engine) as session:
        Outbox(app, engine).publish(session, "order:noted", 1, id="one")
        session.commit()
    app.sync.close()
    engine.dispose()

    assert recorded(app) == ["one"]


def test_many_sessions_at_once_beside_the_logs_own_writers(app: App, engine: Engine, outbox: Outbox) -> None:
    def work(worker: int) -> None:
        for number in range(10):
            with Session(engine) as session:
                session.add(Order(id=worker * 10 + number))
                outbox.publish(session, OrderCreated(worker * 10 + number))
                session.commit() if number % 2 == 0 else session.rollback()
            app.sync.publish("order:noted", number)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))

    kept = [worker * 10 + number for worker in range(6) for number in range(0, 10, 2)]
    assert orders(app) == kept
    assert len(recorded(app)) == 30 + 60


def test_a_handler_on_a_thread_publishes_and_its_event_is_the_cause(app: App, engine: Engine, outbox: Outbox) -> None:
    heard: list[Any] = []
    done = threading.Event()

    @app.on(OrderCreated)
    def place(order: OrderCreated) -> None:
        with Session(engine) as session:
            session.add(Order(id=order.order_id))
            outbox.publish(session, "order:placed", order.order_id, id=f"placed-{order.order_id}")
            session.commit()

    @app.on("order:placed")
    async def note(placed: Any) -> None:
        heard.append(placed)
        done.set()

    with Background(app):
        created = app.sync.publish(OrderCreated(7))
        assert done.wait(LIMIT)
        (placed,) = app.sync.wait_for("find", lambda: app.log.find("placed-7")).records

    with Session(engine) as session:
        assert session.scalars(select(Order.id)).all() == [7]
    assert heard == [7]
    assert (envelope_of(placed, "").causation_id, envelope_of(placed, "").key) == (created.id, "7")


async def test_a_sync_session_in_an_async_handler_is_refused(tmp_path: Path) -> None:
    app = App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[OrderCreated])
    engine = await asyncio.to_thread(create_engine, str(app.log_url))
    outbox, refused = Outbox(app, engine), asyncio.Event()

    @app.on(OrderCreated)
    async def place(order: OrderCreated) -> None:
        with Session(engine) as session, pytest.raises(WouldBlock):
            outbox.publish(session, "order:placed", order.order_id)
        refused.set()

    async with app.running(), asyncio.timeout(LIMIT):
        await app.publish(OrderCreated(7))
        await refused.wait()
