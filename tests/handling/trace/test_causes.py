"""A trace leads from the first cause to the last effect, as far as it was asked to and the log knows."""

import asyncio
from typing import Any

import pytest

from tests.handling.stage import OrderCreated, StockReserved, caught_up, recorded
from tests.handling.trace.flowcharts import read
from tidings import App, Event
from tidings.errors import UnknownEvent
from tidings.handling.trace import mermaid, tree


async def test_a_trace_leads_from_the_first_cause_to_the_last_effect(shop: App) -> None:
    order = await shop.publish(OrderCreated(1))
    await caught_up(shop)

    trace = await shop.trace(order.id)

    assert [(each.type, each.by) for each in trace.events()] == [
        ("order:created", None),
        ("stock:reserved", "shop.stock"),
        ("payment:taken", "shop.payment"),
    ]
    assert trace.is_complete
    assert trace.lost_cause is None
    assert trace.root.is_asked
    assert [(each.group, each.state, each.calls) for each in trace.root.receptions] == [
        ("shop.mail", "handled", 1),
        ("shop.stock", "handled", 1),
    ]
    assert trace.root.unheard_by == ["shop.audit", "shop.payment"]
    assert all(each.member and each.at for each in trace.root.receptions)


async def test_asked_from_its_end_it_leads_back_to_the_beginning(shop: App) -> None:
    order = await shop.publish(OrderCreated(1))
    await shop.publish(OrderCreated(2))
    await caught_up(shop)
    (taken, _) = await recorded(shop.log, "payment:taken")

    for asked in (taken.id, taken.id[:13], taken.position or ""):
        trace = await shop.trace(asked)

        assert trace.root.id == order.id
        assert [each.type for each in trace.events()] == ["order:created", "stock:reserved", "payment:taken"]
        assert [each.is_asked for each in trace.events()] == [False, False, True]


async def test_a_story_of_more_causes_than_were_asked_for_is_cut(app: App) -> None:
    async with app:
        for number in range(5):
            cause = str(number - 1) if number else None
            await app.log.append([Event(id=str(number), source="shop", type="x", causation_id=cause)])

        cut, whole = await app.trace("4", depth=2), await app.trace("4", depth=4)

    assert ([each.id for each in cut.events()], cut.is_complete) == (["2", "3", "4"], False)
    assert ([each.id for each in whole.events()], whole.is_complete) == (["0", "1", "2", "3", "4"], True)


async def test_an_event_published_inside_a_handler_is_its_effect(app: App) -> None:
    @app.on(OrderCreated)
    async def tell(order: OrderCreated) -> None:
        await app.publish("note:made", {"n": 1}, correlation_id="its-own")

    @app.on("note:made")
    async def answer(data: Any) -> None:
        await app.publish("note:read", {})

    async with app.running():
        order = await app.publish(OrderCreated(1))
        await caught_up(app)

        trace = await app.trace(order.id)

    assert [(each.type, each.by) for each in trace.events()] == [
        ("order:created", None),
        ("note:made", None),
        ("note:read", None),
    ]


async def test_a_large_fan_is_bounded_and_what_is_left_out_is_counted(app: App) -> None:
    @app.on(OrderCreated)
    async def fan(order: OrderCreated) -> list[StockReserved]:
        return [StockReserved(number) for number in range(50)]

    async with app.running():
        order = await app.publish(OrderCreated(1))
        await caught_up(app)

        trace = await app.trace(order.id, limit=10)
        shallow = await app.trace(order.id, depth=0)

    assert len(list(trace.events())) == 10
    assert (trace.root.left_out, trace.is_complete) == (41, False)
    assert "caused 41 more" in tree(trace)
    assert (len(list(shallow.events())), shallow.root.left_out) == (1, 50)
    assert read(mermaid(trace)).nodes["e0more"] == ["41 more"]


async def test_a_ring_of_causes_ends(app: App) -> None:
    async with app:
        await app.log.append([Event(id="a", source="shop", type="x", causation_id="b")])
        await app.log.append([Event(id="b", source="shop", type="x", causation_id="a")])
        await app.log.append([Event(id="self", source="shop", type="x", causation_id="self")])

        ring = await app.trace("b")
        alone = await app.trace("self")

    assert [each.id for each in ring.events()] == ["a", "b"]
    assert [each.id for each in alone.events()] == ["self"]


async def test_a_cause_that_is_not_in_the_log_is_named(app: App) -> None:
    async with app:
        await app.log.append([Event(id="b", source="elsewhere", type="x", causation_id="a")])

        trace = await app.trace("b")

    assert (trace.lost_cause, trace.root.is_foreign) == ("a", True)
    assert "Its cause a is not in this log" in tree(trace)
    assert "from elsewhere, over the bus" in tree(trace)
    chart = read(mermaid(trace))
    assert ("cause", "e0") in chart.edges


async def test_an_unknown_event_is_an_error_that_says_what_to_do(app: App) -> None:
    async with app:
        first = await app.publish("a", {}, id="same-1")
        await app.publish("a", {}, id="same-2")
        position = first.position or ""
        unknown = [f"{position[:-1]}9", f"{'f' * 12}{position[12:]}", "nothing", "sam", ""]

        for asked in unknown:
            with pytest.raises(UnknownEvent, match="is no event of this log"):
                await app.trace(asked)
        with pytest.raises(UnknownEvent, match=r"same-1, same-2.*give more") as refused:
            await app.trace("same")

    assert refused.value.candidates == ("same-1", "same-2")


async def test_traces_can_be_asked_for_while_handlers_run(shop: App) -> None:
    orders = [await shop.publish(OrderCreated(number)) for number in range(20)]

    traces = await asyncio.gather(*(shop.trace(order.id) for order in orders))

    assert [trace.asked for trace in traces] == [order.id for order in orders]
