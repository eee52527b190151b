"""`Outbox` in sync sessions on SQLite: what a commit keeps, what it refuses, and who hears of it."""

import threading

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.app.test_sync import LIMIT, Background, recorded, rows
from tests.handling.stage import AuditNoted, OrderCreated
from tests.integrations.sqlalchemy.stage import Line, Order, orders
from tidings import App
from tidings.errors import ConfigurationError, ContractError, IdReused, InvalidEvent
from tidings.integrations.sqlalchemy import Outbox


def test_a_commit_keeps_state_and_event_and_a_rollback_neither(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        for number, end in enumerate([session.commit, session.rollback, session.commit, session.close]):
            session.add(Order(id=number))
            outbox.publish(session, OrderCreated(number), id=f"id-{number}")
            end()

    assert recorded(app) == ["id-0", "id-2"]
    assert orders(app) == [0, 2]


def test_events_that_stand_alone_are_committed_in_order_and_forgotten_alike(
    app: App, engine: Engine, outbox: Outbox
) -> None:
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 0, id="forgotten")
        session.rollback()
        ids = [outbox.publish(session, "order:noted", number) for number in range(300)]
        session.commit()
        session.commit()

    assert recorded(app) == ids


def test_nothing_is_written_before_the_commit(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1, id="one")
        session.add(Order(id=1))
        session.flush()

        assert session.scalars(text("SELECT count(*) FROM tidings_events")).one() == 0
        session.commit()

    assert recorded(app) == ["one"]


def test_the_commit_writes_events_behind_the_state(app: App, engine: Engine, outbox: Outbox) -> None:
    found: list[int] = []
    count = text("SELECT count(*) FROM tidings_events")
    with Session(engine) as session:
        event.listen(session, "after_flush", lambda each, _: found.append(each.connection().scalar(count)))
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 1, id="one")
        session.commit()

    assert (found, recorded(app)) == ([0], ["one"])


def test_a_commit_without_events_is_none_of_its_business(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1)
        session.commit()
        statements: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        session.commit()
        session.add(Order(id=1))
        session.commit()

    assert len(statements) == 1
    assert statements[0].startswith("INSERT INTO orders")


def test_what_cannot_be_recorded_is_refused_at_once_and_the_session_goes_on(
    app: App, engine: Engine, outbox: Outbox
) -> None:
    with Session(engine) as session:
        session.add(Order(id=1))
        with pytest.raises(ContractError):
            outbox.publish(session, "order:created", {"order_id": "no number"})
        with pytest.raises(InvalidEvent):
            outbox.publish(session, "order:noted", object())
        with pytest.raises(ConfigurationError, match="is no event"):
            outbox.publish(session, Order(id=2))
        outbox.publish(session, OrderCreated(1), id="one")
        session.commit()

    assert (recorded(app), orders(app)) == (["one"], [1])


def test_an_id_is_recorded_once_and_only_for_one_content(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        for _ in range(2):
            outbox.publish(session, "order:noted", 1, id="one")
        with pytest.raises(IdReused):
            outbox.publish(session, "order:noted", 2, id="one")
        session.commit()
        for number, name in enumerate(["one", "two"], 1):  # one of them is recorded
            outbox.publish(session, "order:noted", number, id=name)
        session.commit()

        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 3, id="two")
        with pytest.raises(IdReused):
            session.commit()
        session.rollback()
        outbox.publish(session, "order:noted", 3, id="three")
        session.commit()

    assert (recorded(app), orders(app)) == (["one", "two", "three"], [])


def test_a_commit_that_fails_leaves_nothing_and_the_session_goes_on(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        session.add(Line(id=1, order_id=7))  # no such order: SQLite refuses the COMMIT itself
        outbox.publish(session, "order:noted", 1, id="lost")
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 2, id="kept")
        session.commit()

    assert (recorded(app), orders(app), rows(app, "SELECT * FROM lines")) == (["kept"], [1], [])


def test_a_flush_that_fails_takes_the_events_with_it(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        session.add(Order(id=1))
        session.commit()
        outbox.publish(session, "order:noted", 1, id="lost")
        session.add(Order(id=1))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.commit()

    assert recorded(app) == []


def test_a_private_contract_stays_private(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        outbox.publish(session, AuditNoted(1))
        outbox.publish(session, "order:noted", 1)
        session.commit()

    assert rows(app, "SELECT public FROM tidings_events") == [(0,), (1,)]


def test_handlers_hear_what_is_committed(app: App, engine: Engine, outbox: Outbox) -> None:
    heard: list[int] = []
    done = threading.Event()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.append(order.order_id)
        if len(heard) == 20:
            done.set()

    with Background(app), Session(engine) as session:
        for number in range(20):
            session.add(Order(id=number))
            outbox.publish(session, OrderCreated(number))
            session.commit()
        assert done.wait(LIMIT)

    assert heard == list(range(20))


def test_a_commit_rings_and_one_without_events_does_not(app: App, engine: Engine, outbox: Outbox) -> None:
    rung: list[bool] = []
    done = threading.Event()

    async def heard() -> None:
        rung.append(True)
        done.set()

    app.ring = heard  # type: ignore[method-assign]  # what it does is tested where it is
    with Session(engine) as session:
        for name in ("one", None, "two"):
            done.clear()
            session.add(Order())
            if name is not None:
                outbox.publish(session, "order:noted", 1, id=name)
            session.commit()
            assert done.wait(LIMIT if name is not None else 0) is (name is not None)

    assert len(rung) == 2
