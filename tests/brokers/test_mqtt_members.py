"""Members of a group on MQTT: one that is slow, and one that was too slow."""

import asyncio
import gc
from asyncio import to_thread
from socket import SHUT_RDWR
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from tests.brokers.words import insisting, joined, own_name, url_of
from tests.servers.fixtures import FreshServer
from tests.servers.mosquitto import MosquittoServer
from tidings.brokers import connect
from tidings.brokers.channels import PARTITIONS
from tidings.brokers.mqtt.dialing import Life
from tidings.brokers.mqtt.link import Link
from tidings.brokers.mqtt.part import Part
from tidings.brokers.mqtt.settings import settings_of
from tidings.errors import BrokerUnreachable, Fenced
from tidings.testing.broker_conformance.words import ids_of, new_event, new_events, take_arrivals, within


async def test_a_member_that_is_slow_keeps_what_it_has_in_hand_and_others_get_the_rest(
    mosquitto_server: MosquittoServer,
) -> None:
    url = url_of(mosquitto_server, prefix=own_name(), session=1, timeout=20)
    broker, other = await connect(url), await connect(url)
    events = new_events(0, 60)
    async with broker.subscribe(["order:*"], group="g", prefetch=10) as slow:
        await broker.publish(events)
        held = await take_arrivals(slow, (), at_least=10)
        async with other.subscribe(["order:*"], group="g") as quick:
            await slow.settle(held)
            theirs: list[str] = []
            async with within("a share of the second", lambda: theirs):
                arrivals = await quick.receive()
                theirs = ids_of(each.event for each in arrivals)
                await quick.settle(arrivals)

    assert not set(theirs) & set(ids_of(each.event for each in held))
    await broker.close()
    await other.close()


async def test_a_session_that_is_being_given_back_when_its_member_ends_keeps_no_connection(
    mosquitto_server: MosquittoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(url_of(mosquitto_server, prefix=own_name(), session=1))
    part = Part(settings, Life(own_name(), expiry=60), lambda place, message: None, lambda part, failure: None)
    asked = asyncio.Event()

    async def never_answered(link: Link) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Link, "flush", never_answered)
    await part.open()
    leaving = asyncio.create_task(part.leave())
    await asked.wait()
    leaving.cancel()
    await asyncio.wait([leaving])

    assert part._link.failure is not None


async def test_who_leaves_a_server_that_does_not_answer_waits_for_it_once(
    mosquitto_server: MosquittoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = await connect(url_of(mosquitto_server, prefix=own_name()))
    waited: list[str] = []

    async def silence(link: Link, *asked: object) -> None:
        waited.append("for an answer")
        raise BrokerUnreachable("mqtt://host", "no answer within 5 s")

    async with broker.subscribe(["order:*"], group="g"):
        monkeypatch.setattr(Link, "flush", silence)  # of all sessions at a time
        monkeypatch.setattr(Link, "send", silence)

    assert len(waited) == PARTITIONS
    await broker.close()


async def test_a_member_that_loses_the_server_while_it_leaves_leaves_no_failure_that_nobody_asks_for(
    mosquitto_server: MosquittoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = await connect(url_of(mosquitto_server, prefix=own_name(), session=1))
    loop, opening, untold = asyncio.get_running_loop(), asyncio.Event(), list[object]()

    async def refused(part: Part) -> None:
        opening.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BrokerUnreachable("mqtt://host", "nobody listens") from None

    async def subscribe() -> None:
        async with broker.subscribe(["order:*"], group="g"):
            pass

    monkeypatch.setattr(Part, "open", refused)
    subscribing = asyncio.create_task(subscribe())
    await opening.wait()
    subscribing.cancel()
    await asyncio.wait([subscribing])
    await broker.close()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: untold.append(context["message"]))
    del subscribing
    gc.collect()  # a task that failed, and was never asked why, says so when it is gone
    loop.set_exception_handler(handler)

    assert untold == []


async def test_what_was_another_members_meanwhile_is_not_settled(mosquitto_server: MosquittoServer) -> None:
    url = url_of(mosquitto_server, prefix=own_name(), session=1, timeout=1)
    broker, other = await connect(url), await connect(url)
    events = new_events(0, 60)
    async with joined(broker) as slow:
        await insisting(lambda: broker.publish(events))
        held = await take_arrivals(slow, ids_of(events))
        async with joined(other) as quick:
            async with within("what the slow one had for too long"):
                again = await quick.receive()
            with pytest.raises(Fenced):
                await slow.settle(held)

    assert set(ids_of(each.event for each in again)) <= set(ids_of(events))
    await broker.close()
    await other.close()


async def test_what_the_server_does_not_know_of_is_not_settled(fresh_server: FreshServer) -> None:
    """However often it is settled, and whoever else waits for the same."""
    server = await to_thread(fresh_server, MosquittoServer)
    broker = await connect(url_of(server, prefix=f"{own_name()}/", timeout=1))
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(0)])
        arrivals = await inbox.receive()
        await to_thread(server.pause)
        try:
            first = await asyncio.gather(inbox.settle(arrivals), inbox.settle(), return_exceptions=True)
            again = await asyncio.gather(inbox.settle(arrivals), inbox.settle(), return_exceptions=True)
        finally:
            await to_thread(server.resume)
        await inbox.settle()
    await broker.close()

    assert [type(each) for each in first + again] == [BrokerUnreachable] * 4


async def test_a_connection_that_is_lost_is_no_other_member(mosquitto_server: MosquittoServer) -> None:
    broker = await connect(url_of(mosquitto_server, prefix=own_name(), timeout=1))
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(0)])
        arrivals = await inbox.receive()
        socket: Any = arrivals[0].ticket.part._link._client.socket()
        socket.shutdown(SHUT_RDWR)
        with pytest.raises(BrokerUnreachable, match="the connection was lost"):
            await inbox.settle(arrivals)
        with pytest.raises(BrokerUnreachable, match="the connection was lost"):
            await inbox.settle(arrivals)
        await inbox.settle()  # whoever names nothing is told once
    await broker.close()


async def test_a_session_that_its_server_says_another_connection_has_is_another_members(
    mosquitto_server: MosquittoServer,
) -> None:
    """As MQTT 5 asks of servers (3.1.4-3); this Mosquitto only ends the connection, so it is said for it."""
    broker = await connect(url_of(mosquitto_server, prefix=own_name(), timeout=1))
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(0)])
        arrivals = await inbox.receive()
        link: Link = arrivals[0].ticket.part._link
        taken_over = ReasonCode(PacketTypes.DISCONNECT, "Session taken over")
        link._on_disconnect(link._client, None, None, taken_over, None)
        with pytest.raises(Fenced):
            await inbox.settle(arrivals)
    await broker.close()
