"""What an event keeps on its way: everything."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from tidings.brokers import Capabilities
from tidings.errors import TidingsError
from tidings.events import Event
from tidings.testing.broker_conformance.words import Connect, content_of, ids_of, new_event, take

_LARGE = 1_000_000  # bytes that a carrier without a limit has to take


async def test_an_event_arrives_as_it_was_published(connect: Connect, capabilities: Capabilities) -> None:
    event = Event(
        id="i/ä-1",
        source="https://shop.example/orders",
        type="order:created",
        version=3,
        data={"total": "39.90", "lines": [1, None, True], "note": "Grüße 🎈"},
        subject="order/1",
        time=datetime(2001, 2, 3, 4, 5, 6, 789000, tzinfo=UTC),
        key="kunde-ä",
        correlation_id="c",
        causation_id="b",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        headers={"tenant": "nörd", "tries": 2, "urgent": True},
    )
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([event])
        [arrived] = await take(inbox, [event.id])

    assert msgspec.structs.replace(arrived, data=content_of(arrived)) == event


async def test_what_is_left_out_stays_left_out(connect: Connect, capabilities: Capabilities) -> None:
    event = Event(id="1", source="shop", type="order:created")
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([event])
        [arrived] = await take(inbox, ["1"])

    assert msgspec.structs.replace(arrived, data=content_of(arrived)) == event


async def test_bytes_of_any_kind_arrive_as_they_are(connect: Connect, capabilities: Capabilities) -> None:
    contents: list[tuple[str, Any]] = [
        ("image/png", bytes(range(256))),
        ("application/octet-stream", b""),
        ("text/plain", "schön".encode()),
    ]
    events = [new_event(number, data=data, content_type=kind) for number, (kind, data) in enumerate(contents)]
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(events)
        arrived = {event.id: event for event in await take(inbox, ids_of(events))}

    assert [(arrived[each.id].content_type, arrived[each.id].data) for each in events] == contents


async def test_json_is_passed_through_digit_for_digit(connect: Connect, capabilities: Capabilities) -> None:
    text = b'{"price": 1.10, "big": 123456789012345678901234567890, "empty": ""}'
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(1, data=msgspec.Raw(text))])
        [arrived] = await take(inbox, ["id-1"])

    assert bytes(arrived.data) == text


async def test_names_that_differ_by_a_separator_alone_are_told_apart(
    connect: Connect, capabilities: Capabilities
) -> None:
    names = ["order:created", "order.created", "order/created", "order-created", "order_created", "Order:created"]
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(number, type=name) for number, name in enumerate(names)])
        arrived = await take(inbox, [f"id-{number}" for number in range(len(names))])

    assert {event.id: event.type for event in arrived} == {f"id-{number}": name for number, name in enumerate(names)}


async def test_an_event_as_large_as_is_claimed_arrives_and_no_larger_one_is_taken(
    connect: Connect, capabilities: Capabilities
) -> None:
    limit = capabilities.max_size
    large = new_event(1, data="x" * (_LARGE if limit is None else limit // 2))
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([large])
        if limit is not None:
            await _refuses(broker, new_event(2, data="x" * (limit * 2)))
        await broker.publish([new_event(3)])
        arrived = {event.id: content_of(event) for event in await take(inbox, ["id-1", "id-3"])}

    assert arrived == {"id-1": large.data, "id-3": {"number": 3}}


async def _refuses(broker: Any, event: Event) -> None:
    try:
        await broker.publish([event])
    except TidingsError:
        return
    raise AssertionError(f"max_size={broker.capabilities.max_size} is claimed, and twice as much was taken")
