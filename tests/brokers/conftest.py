"""What tests of every carrier start from: each carrier in turn, a system of its own on its server, connections to it.

Tests of a carrier that kill or freeze the server have one among them; it ends when the next carrier's turn comes.
"""

import itertools
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.brokers.carriers import CARRIERS, Carrier
from tests.brokers.words import joined, own_name
from tests.handling.conftest import reports
from tests.servers.fixtures import require
from tests.servers.server import Server
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to

__all__ = ["reports"]  # what services report is shown with a failure, and not written while the loop waits
_names = itertools.count()


@pytest.fixture(scope="module", params=CARRIERS, ids=lambda carrier: carrier.name)
def carrier(request: pytest.FixtureRequest) -> Carrier:
    """Each in turn; a test that is only for some of them says which."""
    found: Carrier = request.param
    return found


@pytest.fixture(scope="module")
def mortal_server(carrier: Carrier) -> Iterator[Server]:
    """One for all tests of the carrier that restart, kill or freeze theirs."""
    assert carrier.mortal is not None
    require(carrier.mortal)
    with carrier.mortal() as server:
        yield server


@pytest.fixture
def mortal(mortal_server: Server) -> Server:
    """The same, running, however the test before has left it."""
    if not mortal_server.pids:
        mortal_server.start()
    mortal_server.resume()
    return mortal_server


@pytest.fixture
def shared(carrier: Carrier, request: pytest.FixtureRequest) -> Server:
    """The server that all tests share which leave it alone."""
    found: Server = request.getfixturevalue(carrier.shared)
    return found


@pytest.fixture
def url(carrier: Carrier, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A system of this test's own."""
    if carrier.name == "postgres":
        return f"{request.getfixturevalue('postgres_url')}&lease=2"
    if not carrier.shared:
        return {"memory": f"memory:broker-{next(_names)}", "sqlite": f"sqlite:///{tmp_path}/bus.db?lease=2"}[
            carrier.name
        ]
    server: Server = request.getfixturevalue("mortal" if "restart" in request.fixturenames else "shared")
    return carrier.url(server, own_name())


@pytest.fixture
def capabilities(carrier: Carrier) -> Capabilities:
    """What it is held to."""
    return carrier.claims


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[str], Awaitable[Broker]]]:
    """`await opened(url)`: another connection, closed at the test's end."""
    async with AsyncExitStack() as stack:

        async def opened(url: str) -> Broker:
            broker = await connect_to(url)
            stack.push_async_callback(broker.close)
            return broker

        yield opened


@pytest.fixture
def connect(opened: Callable[[str], Awaitable[Broker]], carrier: Carrier, url: str) -> Callable[[], Awaitable[Broker]]:
    """`await connect()`: another connection to this test's system."""

    async def connect() -> Broker:
        broker = await opened(url)
        assert broker.capabilities == carrier.claims
        return broker

    return connect


@pytest.fixture
async def restart(
    carrier: Carrier, request: pytest.FixtureRequest, opened: Callable[[str], Awaitable[Broker]]
) -> Callable[[], Awaitable[None]]:
    """Nobody is connected; a log ends when the last connection to it is closed.

    A server lets members in before the test begins, and again after it was restarted: how long it takes for that, after
    all that other tests did to it, is no part of what is asked.
    """
    server: Server | None = request.getfixturevalue("mortal") if carrier.mortal is not None else None

    async def admit() -> None:
        if server is not None:
            async with joined(await opened(carrier.hasty(server, own_name()))):
                pass

    async def restart() -> None:
        if server is not None:
            await to_thread(server.restart)
        await admit()

    await admit()
    return restart


@pytest.hookimpl(trylast=True)  # after pytest's own order
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of a carrier stand together, so that its own server is started once."""
    places = [place for place, item in enumerate(items) if _carrier_of(item) is not None]
    for place, item in zip(places, sorted([items[place] for place in places], key=_turn), strict=True):
        items[place] = item


def _carrier_of(item: pytest.Item) -> Carrier | None:
    found = item.callspec.params.get("carrier") if hasattr(item, "callspec") else None
    return found if isinstance(found, Carrier) else None


def _turn(item: pytest.Item) -> int:
    carrier = _carrier_of(item)
    assert carrier is not None
    return CARRIERS.index(carrier)
