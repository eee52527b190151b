"""A trace as a tree, as a flowchart and as data."""

import unicodedata

import msgspec

from tests.handling.stage import OrderCreated, caught_up, parked
from tests.handling.trace.flowcharts import read
from tests.handling.trace.stage import World
from tidings import App
from tidings.handling.trace import Trace, mermaid, tree


async def test_the_tree_can_be_read_at_eighty_columns(shop: App, world: World) -> None:
    world.addresses = False
    for _ in range(2):
        order = await shop.publish(OrderCreated(1))
    await parked(shop, "dead", "blocked", "blocked", "blocked")

    drawn = tree(await shop.trace(order.id))

    assert max(map(len, drawn.splitlines())) <= 80
    assert not any(unicodedata.category(character).startswith("C") for character in drawn.replace("\n", ""))
    for said in ("<- asked for", "shop.mail: blocked", "returned by shop.stock", "└─ payment:taken", "key 1"):
        assert said in drawn


async def test_the_flowchart_shows_the_same(shop: App, world: World) -> None:
    world.addresses = False
    order = await shop.publish(OrderCreated(1))
    await parked(shop, "dead", "blocked")

    chart = read(mermaid(await shop.trace(order.id)))

    assert {
        ("order:created", "shop.stock"),
        ("shop.stock", "stock:reserved"),
        ("shop.payment", "payment:taken"),
        ("order:created", "shop.mail"),
    } <= chart.arrows()
    assert sorted(chart.classes.values()) == ["asked", "blocked", "dead"]


async def test_a_trace_is_data(shop: App) -> None:
    order = await shop.publish(OrderCreated(1))
    await caught_up(shop)
    trace = await shop.trace(order.id)

    again = msgspec.json.decode(msgspec.json.encode(trace), type=Trace)

    assert again == trace
