"""The door for callers without an event loop: their threads, their errors, their forks, and handlers beside them."""

import asyncio
import contextlib
import inspect
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.handling.stage import OrderCreated, StockReserved
from tidings import App, Retry, Transaction
from tidings.app import portal
from tidings.errors import (
    ConfigurationError,
    Conflict,
    ContractError,
    IdReused,
    LogClosed,
    NoAnswer,
    NotOneHandler,
    WouldBlock,
)

LIMIT = 20.0  # seconds for what should take milliseconds


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[OrderCreated])
    yield app
    app.sync.close()


@pytest.fixture(params=["memory:", "sqlite"])
def any_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    app = App("shop", f"sqlite:///{tmp_path}/log.db" if request.param == "sqlite" else request.param)
    yield app
    app.sync.close()


def rows(app: App, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(str(app.log_url).removeprefix("sqlite:///"))) as connection:
        return connection.execute(sql).fetchall()


def recorded(app: App) -> list[str]:
    return [row[0] for row in rows(app, "SELECT id FROM tidings_events ORDER BY position")]


def lose(app: App, sql: str, rows: int) -> None:
    with app.sync.transaction() as tx:
        tx.execute(sql, rows=rows)
        tx.publish("stock:lost", None)
        assert tx.fetch("SELECT count(*) FROM stock") == [(2,)]


def portals() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("tidings-sync-")]


class Background:
    """`app.run()` on a thread of its own, as a web server's process might have it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def __enter__(self) -> "Background":
        self._app.on_start(self._started.set)
        self._thread.start()
        assert self._started.wait(LIMIT)
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._app.run(self._stop))


@pytest.mark.parametrize("name", ["publish", "publish_many", "send", "health", "ring", "transaction"])
def test_each_call_takes_what_the_awaited_one_takes(name: str) -> None:
    awaited, waiting = getattr(App, name), getattr(App("shop").sync, name)

    taken = [parameter.replace(annotation=None) for parameter in inspect.signature(waiting).parameters.values()]

    assert taken == [
        parameter.replace(annotation=None) for parameter in list(inspect.signature(awaited).parameters.values())[1:]
    ]


def test_what_is_published_is_recorded_and_returned_as_recorded(any_app: App) -> None:
    first = any_app.sync.publish("order:created", {"order_id": 1}, id="first", key="1", headers={"tenant": "north"})
    again = any_app.sync.publish("order:created", {"order_id": 1}, id="first", key="1", headers={"tenant": "north"})
    many = any_app.sync.publish_many([StockReserved(1), StockReserved(2)])

    assert first.position == again.position
    assert (first.id, first.source, first.key, first.headers) == ("first", "shop", "1", {"tenant": "north"})
    assert [event.type for event in many] == ["stock:reserved", "stock:reserved"]
    assert any_app.sync.health().healthy


def test_many_threads_publish_through_one_portal(app: App) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: app.sync.publish("counted", number, id=f"id-{number}"), range(400)))

    assert sorted(recorded(app)) == sorted(f"id-{number}" for number in range(400))
    assert rows(app, "SELECT max(position) FROM tidings_events") == [(400,)]
    assert len(portals()) == 2  # its loop's, and its errands'


def test_a_transaction_commits_state_and_events_or_neither(app: App) -> None:
    with app.sync.transaction() as tx:
        tx.execute("CREATE TABLE stock(item TEXT, count INTEGER)")
        tx.executemany("INSERT INTO stock VALUES (?, ?)", [("disc", 3), ("book", 5)])
        kept = tx.publish("stock:counted", {"items": 2})
    with pytest.raises(Conflict):
        lose(app, "DELETE FROM stock", rows=3)
    with pytest.raises(Conflict):
        lose(app, "UPDATE stock SET count = 0 WHERE item = 'lamp'", rows=1)

    assert recorded(app) == [kept]
    assert rows(app, "SELECT * FROM stock") == [("disc", 3), ("book", 5)]


def test_errors_arrive_as_themselves(app: App, tmp_path: Path) -> None:
    with pytest.raises(ContractError) as refused:
        app.sync.publish("order:created", {"order_id": "no number"})
    app.sync.publish("counted", 1, id="one")
    with pytest.raises(IdReused):
        app.sync.publish("counted", 2, id="one")

    lost = App("lost", f"sqlite:///{tmp_path}/missing/log.db")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="does not exist"):
            lost.sync.publish("counted", 1)
    (tmp_path / "missing").mkdir()
    with lost.sync:
        assert lost.sync.publish("counted", 1).position

    assert refused.value.type == "order:created"


def test_a_wait_has_a_limit_and_what_came_too_late_is_not_recorded(app: App) -> None:
    app.sync.open()
    app.sync.timeout = 0.3
    with contextlib.closing(
        sqlite3.connect(str(app.log_url).removeprefix("sqlite:///"), isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NoAnswer, match=r"app\.sync\.publish had no answer within 0\.3 s"):
            app.sync.publish("counted", 1, id="first")  # the writer waits for the lock with it in hand
        with pytest.raises(NoAnswer):
            app.sync.publish("counted", 2, id="late")  # it is in the queue
        other.execute("ROLLBACK")
    app.sync.timeout = LIMIT

    app.sync.publish("counted", 3, id="next")

    assert "late" not in recorded(app)
    assert recorded(app)[-1] == "next"


def test_a_timeout_of_the_work_itself_arrives_as_itself(app: App) -> None:
    async def late() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as raised:
        app.sync.wait_for("publish", late)

    assert not isinstance(raised.value, NoAnswer)


async def test_it_refuses_to_stop_an_event_loop(app: App) -> None:
    with pytest.raises(WouldBlock, match=r"use await app\.publish\(\.\.\.\)"):
        app.sync.publish("counted", 1)
    with pytest.raises(WouldBlock, match=r"async with app\.transaction\(\)"), app.sync.transaction():
        pass
    with (
        pytest.raises(WouldBlock, match=r"async with app\.transaction\(\)"),
        app.sync.transaction(existing=object()),
    ):
        pass


def test_it_opens_once_and_again_after_it_was_closed(app: App) -> None:
    with app.sync as door:
        door.publish("counted", 1)
        assert portals()
    assert not portals()
    with pytest.raises(ConfigurationError, match="is not open"):
        _ = app.log

    app.sync.publish("counted", 2)

    assert len(recorded(app)) == 2


def test_what_is_under_way_is_finished_when_it_closes(app: App) -> None:
    app.sync.open()
    with ThreadPoolExecutor(8) as threads:
        under_way = [threads.submit(app.sync.publish, "counted", number, id=f"id-{number}") for number in range(100)]
        app.sync.close()

        published = [each.result(LIMIT).id for each in under_way]  # those that came later have opened it again

    assert sorted(published) == sorted(recorded(app)) == sorted(f"id-{number}" for number in range(100))


def test_handlers_in_the_same_process_hear_what_threads_publish(any_app: App) -> None:
    heard: list[int] = []
    done = threading.Event()

    @any_app.on("counted")
    async def count(number: int) -> None:
        heard.append(number)
        if len(heard) == 50:
            done.set()

    with Background(any_app):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: any_app.sync.publish("counted", number), range(50)))
        assert done.wait(LIMIT)
        assert any_app.sync.health().running

    assert sorted(heard) == list(range(50))


def test_an_application_may_run_after_its_portal_was_opened_and_either_may_end_first(app: App) -> None:
    heard = threading.Event()

    @app.on("counted")
    async def count(number: int) -> None:
        heard.set()

    app.sync.publish("counted", 1)
    with Background(app):
        assert heard.wait(LIMIT)
        app.sync.publish("counted", 2)
        app.sync.close()
        app.sync.publish("counted", 3)
        assert portals()
    app.sync.publish("counted", 4)

    assert len(recorded(app)) == 4


def test_a_log_in_memory_is_not_shared_between_two_loops() -> None:
    app = App("shop")
    app.sync.publish("counted", 1)

    with pytest.raises(ConfigurationError, match="lives on one"):
        asyncio.run(app.run(asyncio.Event()))

    app.sync.publish("counted", 2)
    app.sync.close()


def test_a_handler_on_a_thread_publishes_through_it_what_its_event_has_caused(app: App) -> None:
    done = threading.Event()

    @app.on("counted")
    def count(number: int) -> None:
        app.sync.publish("noted", number, id="noted")

    @app.on("noted")
    async def end(number: int) -> None:
        done.set()

    with Background(app):
        cause = app.sync.publish("counted", 1)
        assert done.wait(LIMIT)

    ((envelope,),) = rows(app, "SELECT envelope FROM tidings_events WHERE id = 'noted'")
    assert cause.id in bytes(envelope).decode()


def test_a_handler_inside_the_transaction_is_told_at_once_what_to_use_instead(app: App) -> None:
    refused: list[BaseException] = []
    done = threading.Event()

    @app.on("counted", retry=Retry.never())
    def count(number: int, tx: Transaction) -> None:
        try:
            app.sync.publish("noted", number)
        except WouldBlock as error:
            refused.append(error)
        done.set()

    with Background(app):
        app.sync.publish("counted", 1)
        assert done.wait(LIMIT)

    assert "use tx, or in a handler return the event" in str(refused[0])


def test_a_wait_ends_when_the_portal_closes() -> None:
    app = App("shop")
    called = threading.Event()

    async def forever() -> None:
        called.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as threads, pytest.MonkeyPatch.context() as patch:
        patch.setattr(portal, "_DRAIN", 0.1)
        waiting = threads.submit(app.sync.wait_for, "publish", forever)
        assert called.wait(LIMIT)
        app.sync.close()

        with pytest.raises(LogClosed):
            waiting.result(LIMIT)


def test_an_interrupt_ends_the_wait(app: App) -> None:
    app.sync.open()
    asked = threading.Event()

    async def forever() -> None:
        asked.set()
        await asyncio.Event().wait()

    def interrupt() -> None:
        assert asked.wait(LIMIT)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        app.sync.wait_for("publish", forever)
    interrupter.join(LIMIT)

    assert app.sync.publish("counted", 1).position


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """What a program prints that has `app`."""
    begin = f"""
import os, sys
from tidings import App
app = App("shop", "sqlite:///{tmp_path}/log.db")
"""

    def run(text: str) -> str:
        strict = ["-W", "default::ResourceWarning", "-W", "ignore::DeprecationWarning"]  # 3.12 has one for os.fork
        done = subprocess.run(
            [sys.executable, *strict, "-c", begin + text],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def test_a_script_need_not_close_it(script: Callable[[str], str], tmp_path: Path) -> None:
    said = script("print(app.sync.publish('counted', 1).type); app.sync.ring()")

    assert said == "counted\n"
    assert not (tmp_path / "log.db-wal").exists()  # SQLite removes it when the last connection closes in order


def test_a_fork_opens_its_own_unless_its_parent_had_opened_one(script: Callable[[str], str]) -> None:
    said = script(
        """
def fork(number):
    sys.stdout.flush()
    if not os.fork():
        try:
            print(number, type(app.sync.publish("counted", number)).__name__)
        except Exception as error:
            print(number, type(error).__name__, "close() before" in str(error))
        sys.stdout.flush()
        app.sync.close()
        os._exit(0)
    os.wait()

fork(1)
app.sync.publish("counted", 2)
fork(3)
app.sync.publish("counted", 4)
app.sync.close()
fork(5)
print(app.sync.publish("counted", 6).position[-2:])
"""
    )

    assert said.split("\n") == ["1 Event", "3 UsedAfterFork True", "5 Event", "05", ""]


def test_a_fork_of_a_process_that_has_it_open_on_its_own_loop_is_told_so(script: Callable[[str], str]) -> None:
    said = script(
        """
import asyncio
async def main():
    async with app:
        if not os.fork():
            asyncio.events._set_running_loop(None)
            try:
                app.sync.publish("counted", 1)
            except Exception as error:
                print(type(error).__name__, flush=True)
            os._exit(0)
        os.wait()
        print((await app.publish("counted", 2)).position[-2:])
asyncio.run(main())
"""
    )

    assert said == "UsedAfterFork\n01\n"


def test_a_command_is_private_and_has_exactly_one_handler(app: App) -> None:
    @app.on("order:ship")
    async def ship(order: dict[str, int]) -> None: ...

    @app.on("order:*", group="audit")
    async def audit(order: dict[str, int]) -> None: ...

    with pytest.raises(NotOneHandler, match=r"heard by 2 groups \(shop\.ship, audit\)") as several:
        app.sync.send("order:ship", {"order_id": 1})
    with pytest.raises(NotOneHandler, match="heard by no group") as nobody:
        app.sync.send("stock:count", {"order_id": 1})

    assert recorded(app) == []
    assert (several.value.groups, nobody.value.groups) == (("shop.ship", "audit"), ())


def test_a_command_is_recorded_and_handled_once(app: App) -> None:
    handled: list[int] = []
    done = threading.Event()

    @app.on("order:ship")
    async def ship(number: int) -> None:
        handled.append(number)
        if number == 2:
            done.set()

    with Background(app):
        sent = app.sync.send("order:ship", 1, id="one", key="a")
        assert app.sync.send("order:ship", 1, id="one", key="a").position == sent.position
        app.sync.send("order:ship", 2, key="a")
        assert done.wait(LIMIT)

    assert handled == [1, 2]
    assert (sent.type, sent.id, sent.source) == ("order:ship", "one", "shop")
    assert rows(app, "SELECT DISTINCT public FROM tidings_events") == [(0,)]


def test_an_event_loop_that_ended_with_the_application_open_is_told() -> None:
    app, loop = App("shop"), asyncio.new_event_loop()
    loop.run_until_complete(app.__aenter__())
    loop.close()

    with pytest.raises(ConfigurationError, match="shop was opened on an event loop that has ended"):
        app.sync.publish("order:created", {"order_id": 1})

    asyncio.run(app.log.close())
