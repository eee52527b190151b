"""Events and savepoints: what is rolled back to one never took place, what is released shares its parent's fate."""

import contextlib

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.app.test_sync import recorded
from tests.integrations.sqlalchemy.stage import Order, orders
from tidings import App
from tidings.integrations.sqlalchemy import Outbox


class Undo(Exception):
    """Raised to leave a block."""


def test_an_event_shares_the_fate_of_its_savepoint(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1, id="before")
        with session.begin_nested():
            session.add(Order(id=1))
            outbox.publish(session, "order:noted", 2, id="released")
        with contextlib.suppress(Undo), session.begin_nested():
            session.add(Order(id=2))
            outbox.publish(session, "order:noted", 3, id="undone")
            raise Undo
        outbox.publish(session, "order:noted", 4, id="after")
        session.commit()

    assert (recorded(app), orders(app)) == (["before", "released", "after"], [1])


@pytest.mark.parametrize("end", [Session.rollback, Session.close])
def test_a_released_savepoint_is_not_a_commit(app: App, engine: Engine, outbox: Outbox, end: object) -> None:
    with Session(engine) as session:
        with session.begin_nested():  # the first thing the connection sees: SQLite would commit at its release
            session.add(Order(id=1))
            outbox.publish(session, "order:noted", 1, id="one")
        assert callable(end)
        end(session)
        session.commit()

    assert (recorded(app), orders(app)) == ([], [])


def test_a_savepoint_of_the_very_first_session_is_sound_before_anything_is_published(
    app: App, engine: Engine, outbox: Outbox
) -> None:
    with Session(engine) as session:
        with session.begin_nested():
            session.add(Order(id=1))
        outbox.publish(session, "order:noted", 1)
        session.rollback()

    assert orders(app) == []


def test_savepoints_in_savepoints(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        with contextlib.suppress(Undo), session.begin_nested():
            outbox.publish(session, "order:noted", 1, id="outer")
            with session.begin_nested():
                outbox.publish(session, "order:noted", 2, id="inner")
            raise Undo
        with session.begin_nested():
            outbox.publish(session, "order:noted", 3, id="kept")
            with contextlib.suppress(Undo), session.begin_nested():
                outbox.publish(session, "order:noted", 4, id="lost")
                raise Undo
        session.commit()

    assert recorded(app) == ["kept"]


def test_an_id_that_was_rolled_back_can_be_published_again(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        with contextlib.suppress(Undo), session.begin_nested():
            outbox.publish(session, "order:noted", 1, id="one")
            raise Undo
        outbox.publish(session, "order:noted", 2, id="one")
        with contextlib.suppress(Undo), session.begin_nested():
            outbox.publish(session, "order:noted", 2, id="one")  # the same one, and it stays
            raise Undo
        session.commit()

    assert recorded(app) == ["one"]


def test_what_was_written_in_a_savepoint_and_published_outside_of_it_outlives_it(
    app: App, engine: Engine, outbox: Outbox
) -> None:
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1, id="outside")
        with contextlib.suppress(Undo), session.begin_nested():
            with session.begin_nested():
                outbox.publish(session, "order:noted", 2, id="inside")
            raise Undo  # after the release of the inner one, at which all was written
        session.commit()

    assert recorded(app) == ["outside"]


def test_a_failing_savepoint_takes_its_events_alone(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        session.add(Order(id=1))
        session.commit()
        outbox.publish(session, "order:noted", 1, id="kept")
        savepoint = session.begin_nested()
        outbox.publish(session, "order:noted", 2, id="lost")
        session.add(Order(id=1))
        with pytest.raises(IntegrityError):
            savepoint.commit()
        savepoint.rollback()
        session.commit()

    assert recorded(app) == ["kept"]


def test_the_whole_can_be_committed_over_an_open_savepoint(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session, session.begin():
        session.begin_nested()
        session.add(Order(id=1))
        outbox.publish(session, "order:noted", 1, id="one")

    assert (recorded(app), orders(app)) == (["one"], [1])


@pytest.mark.parametrize("hook", ["before_flush", "after_flush", "after_flush_postexec", "before_commit"])
def test_hooks_of_the_commit_publish(app: App, engine: Engine, outbox: Outbox, hook: str) -> None:
    made: set[str] = set()

    def publish(session: Session, *_: object) -> None:
        if hook not in made:
            made.add(hook)
            outbox.publish(session, "order:noted", 2, id="by the hook")

    class Hooked(Session):
        """One with a hook, which is called before those of the outbox, or in the midst of the flush."""

    event.listen(Hooked, hook, publish)
    with Hooked(engine) as session:
        session.add(Order())
        session.commit()

        made.clear()
        session.add(Order())
        outbox.publish(session, "order:noted", 1, id="first")
        outbox.publish(session, "order:noted", 2, id="by the hook")  # recorded already
        session.commit()

    assert recorded(app) == ["by the hook", "first"]


def test_a_hook_that_comes_after_the_last_look_publishes_too(app: App, engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session:
        outbox.publish(session, "order:noted", 1, id="first")
        event.listen(session, "before_commit", lambda each: outbox.publish(each, "order:noted", 2, id="late"))
        session.commit()
        session.add(Order(id=1))
        session.commit()

    assert recorded(app) == ["first", "late"]
