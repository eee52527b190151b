"""One connection to an MQTT server that comes to its end while messages are still being handed over."""

import asyncio
import socket
import threading
from asyncio import to_thread
from typing import Any

import pytest

from tests.brokers.words import LIMIT, own_name
from tests.servers.mosquitto import MosquittoServer
from tidings.brokers.mqtt.dialing import Life
from tidings.brokers.mqtt.link import Link
from tidings.brokers.mqtt.settings import Settings, settings_of
from tidings.brokers.mqtt.wire import Outgoing

MANY = 1000  # messages: more than are read in one go


async def test_who_acknowledges_what_is_just_handed_over_can_leave_meanwhile(mosquitto_server: MosquittoServer) -> None:
    settings, name = settings_of(mosquitto_server.url), own_name()
    life = Life(name, expiry=60, prefetch=MANY)
    await _wait_in_its_session(settings, life)
    leaving = threading.Thread(target=lambda: asyncio.run(_leave_at_the_first(settings, life)), daemon=True)

    leaving.start()
    await to_thread(leaving.join, LIMIT)

    assert not leaving.is_alive(), "it stands still for ever"


async def test_who_is_cancelled_when_the_connection_has_just_come_about_leaves_none(
    mosquitto_server: MosquittoServer,
) -> None:
    link = Link(settings_of(mosquitto_server.url), Life(own_name()), lambda message: None, lambda failure: None)
    opening = asyncio.ensure_future(link.open())
    link._greeted.add_done_callback(lambda greeted: opening.cancel())  # before it comes back to who waits

    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.sleep(0)  # until what was to be done next is done

    assert link._greeted.result() is False
    assert link.failure is not None
    assert _is_closed(link)


def test_who_ends_the_loop_while_it_connects_leaves_no_connection() -> None:
    links = []
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes the connection, and says nothing

        async def begin() -> None:
            settings = settings_of(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
            links.append(link := Link(settings, Life(own_name()), lambda message: None, lambda failure: None))
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, link.open())
            await asyncio.sleep(0)  # it begins
            await asyncio.sleep(0)

        asyncio.run(begin())

    assert _is_closed(links[0])


def _is_closed(link: Link) -> bool:
    connection: Any = link._client.socket()
    return connection is None or connection.fileno() == -1


async def _wait_in_its_session(settings: Settings, life: Life) -> None:
    """Have messages wait that all come at once."""
    async with asyncio.timeout(LIMIT):
        session = Link(settings, life, lambda message: None, lambda failure: None)
        await session.open()
        await session.subscribe([life.name], retained=0)
        await session.leave()
        sender = Link(settings, Life(own_name()), lambda message: None, lambda failure: None)
        await sender.open()
        await sender.send([Outgoing(life.name, b"%d" % number) for number in range(MANY)])
        await sender.leave()


async def _leave_at_the_first(settings: Settings, life: Life) -> None:
    coming = asyncio.Event()

    def hear(message: Any) -> None:
        link.acknowledge([message.mid])
        coming.set()

    link = Link(settings, life, hear, lambda failure: None)
    await link.open()
    await coming.wait()
    await link.leave()
