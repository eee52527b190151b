"""A private server answers when it is started, keeps its data and port through a kill, freezes, and leaves nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import psutil
import psycopg
import pytest

from tests.servers.every import SERVERS
from tests.servers.fixtures import FreshServer, require
from tests.servers.maven import JavaServer
from tests.servers.mosquitto import MosquittoServer
from tests.servers.postgres import PostgresServer
from tests.servers.pulsar import PulsarServer
from tests.servers.redis import RedisServer
from tests.servers.server import NotStarted, Server, free_ports
from tests.servers.told import WORD, tell, told


def living(pids: list[int]) -> list[int]:
    """Those that have not ended; who is only waited for by nobody has."""
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def wait_until(done: Callable[[], bool]) -> None:
    """Return when it is so.

    Raises:
        TimeoutError: it was not, for 30 s.
    """
    deadline = monotonic() + 30
    while not done():
        if monotonic() > deadline:
            raise TimeoutError
        sleep(0.01)


# What runs on Java takes long to start, and is killed, frozen and restarted by the tests of its carrier anyway.
KINDS = [
    pytest.param(kind, marks=[pytest.mark.chaos] if issubclass(kind, JavaServer) else [], id=kind.name)
    for kind in SERVERS
]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each kind of server in turn, running; each test leaves it so. At the end nothing of it is left."""
    kind: type[Server] = request.param
    require(kind)
    with kind() as server:
        yield server
        pids = server.pids
    assert pids
    assert not living(pids)
    assert not server.folder.exists()


def test_what_a_server_keeps_outlives_a_kill(server: Server) -> None:
    port, pids = server.port, server.pids
    tell(server)

    server.kill9()
    assert not living(pids)
    assert not server.pids
    server.start()

    assert server.port == port
    if not isinstance(server, MosquittoServer | PulsarServer):  # which acknowledge what they have not written yet
        assert told(server) == WORD


def test_a_stopped_server_has_left_and_comes_back_to_its_port(server: Server) -> None:
    port, pids = server.port, server.pids
    assert pids

    server.stop()

    assert not living(pids)
    with pytest.raises(OSError, match="refused"):
        server.answers()
    server.start()
    assert server.port == port
    wait_until(server.is_answering)


def test_a_frozen_server_says_nothing_until_it_goes_on(server: Server) -> None:
    server.pause()
    assert {psutil.Process(pid).status() for pid in server.pids} == {psutil.STATUS_STOPPED}
    with pytest.raises(TimeoutError):
        server.answers()

    server.resume()

    wait_until(server.is_answering)  # one that was away may be refused its work for a moment


def test_a_postgres_gives_each_test_a_database(postgres_server: PostgresServer) -> None:
    mine, yours = postgres_server.database(), postgres_server.database()

    with psycopg.connect(mine) as connection:
        connection.execute("create table told (what text)")

    with psycopg.connect(yours) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("select * from told")


def test_settings_are_handed_on(fresh_server: FreshServer) -> None:
    server = fresh_server(PostgresServer, max_prepared_transactions="8")

    with psycopg.connect(server.url) as connection:
        assert connection.execute("show max_prepared_transactions").fetchone() == ("8",)


def test_a_server_that_ends_shows_what_it_printed() -> None:
    require(RedisServer)
    server = RedisServer(**{"no-such-setting": "1"})

    with pytest.raises(NotStarted, match="no-such-setting"), server:
        pass

    assert not server.folder.exists()


def test_a_port_that_was_taken_meanwhile_is_exchanged_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    require(RedisServer)
    with RedisServer() as first:
        drawn = iter([[first.port], free_ports(1)])
        monkeypatch.setattr("tests.servers.server.free_ports", lambda count: next(drawn))
        with RedisServer() as second:
            assert second.port != first.port
            assert second.answers()


ABANDONED = """
import os, sys
from tests.servers.redis import RedisServer
server = RedisServer().start()
print(server.folder, *server.pids, flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["finished", "killed"])
def test_it_ends_with_the_tests_even_when_nobody_closes_it(end: str) -> None:
    require(RedisServer)

    done = subprocess.run(
        [sys.executable, "-c", ABANDONED, end], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )

    folder, *pids = done.stdout.split()
    assert pids
    wait_until(lambda: not living([int(pid) for pid in pids]) and not Path(folder).exists())


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_server_that_cannot_be_had_is_skipped_aloud_and_fails_in_ci(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)

    class Absent(RedisServer):
        program = "no-such-server"

    with pytest.raises(outcome, match=r"no-such-server is not installed: `make servers` as root, or `apt install"):
        require(Absent)
