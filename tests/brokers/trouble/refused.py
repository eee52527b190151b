"""Nobody is there, the password is wrong, the authority unknown, the event too large: all is told, but no secret."""

from collections.abc import Awaitable

import pytest

from tests.brokers.carriers import Carrier, has_server, those
from tests.brokers.words import Opened, insisting, joined, own_name
from tests.servers.secure import PASSWORD
from tests.servers.server import Server, free_ports
from tidings.errors import BrokerUnreachable, EventRefused
from tidings.testing.broker_conformance.words import ids_of, new_event, new_events, take, within


@those(has_server)
async def test_nobody_there_is_told_within_the_bound_and_without_the_password(carrier: Carrier, opened: Opened) -> None:
    [port] = free_ports(1)
    broker = await opened(f"{carrier.scheme}://me:{PASSWORD}@127.0.0.1:{port}?timeout=0.3".replace("%", "%25"))
    told: list[str] = []

    asked: list[Awaitable[object]] = [broker.publish([new_event(0)])]
    asked += [broker.groups()] if carrier.claims.lag and carrier.name != "pulsar" else []
    asked += [broker.letters()] if carrier.claims.dead_letters else []
    for attempt in asked:
        with pytest.raises(BrokerUnreachable) as raised:
            async with within("a failure"):
                await attempt
        told.append(f"{raised.value} {raised.value!r}")
    for group in ("g", None):
        with pytest.raises(BrokerUnreachable) as raised:
            async with within("a failure"), broker.subscribe(["**"], group=group):
                pass
        told.append(f"{raised.value} {raised.value!r}")

    assert "hid" not in f"{told} {broker.url} {vars(broker)}".replace("tidings", "")


@those(has_server)
async def test_who_knows_password_and_authority_gets_in_and_nobody_else(
    carrier: Carrier, mortal: Server, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    name, told = own_name(), list[str]()
    broker = await opened(carrier.secure(mortal, name))
    strangers = [await opened(carrier.secure(mortal, name, knows=False, timeout=1))]
    if carrier.door is not None and carrier.door.user:
        strangers.append(await opened(carrier.secure(mortal, name, password="mistaken", timeout=1)))

    events = new_events(0, 300)
    async with joined(broker) as inbox:
        await insisting(lambda: broker.publish(events))
        assert {*ids_of(await take(inbox, ids_of(events)))} == {*ids_of(events)}
    for stranger in strangers:
        with pytest.raises(BrokerUnreachable) as raised:
            async with within("a failure"):
                await stranger.publish([new_event(1)])
        told.append(f"{raised.value} {raised.value!r} {stranger.url} {vars(stranger)}")

    shown = f"{told} {broker.url} {vars(broker)} {caplog.text}"
    assert not [secret for secret in (PASSWORD, "hid%25den", "mistaken") if secret in shown]


@those(has_server)
async def test_an_event_larger_than_the_server_takes_is_refused_by_name_and_takes_nothing_with_it(
    carrier: Carrier, mortal: Server, opened: Opened
) -> None:
    broker = await opened(carrier.url(mortal, own_name(), **carrier.unlimited))
    async with joined(broker) as inbox:
        await insisting(lambda: broker.publish([new_event(0)]))
        with pytest.raises(EventRefused, match="'id-1'"):
            async with within("a refusal"):
                await broker.publish([new_event(1, data="x" * carrier.too_large)])
        await broker.publish([new_event(2)])
        assert sorted(ids_of(await take(inbox, ["id-0", "id-2"]))) == ["id-0", "id-2"]
