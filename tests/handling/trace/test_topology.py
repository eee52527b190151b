"""An application drawn from what it says of itself: publishers, events, groups, and the bus."""

from typing import Any

import pytest

from tests.handling.stage import AuditNoted, OrderCreated, StockReserved
from tests.handling.trace.flowcharts import Flowchart, read
from tidings import App
from tidings.handling.flowchart import Chart
from tidings.handling.topology import Topology


def draw(app: App) -> Flowchart:
    return read(Topology(app.name, app.subscriptions, app.catalog(), app.broker_url).mermaid())


def shop(**settings: Any) -> App:
    app = App("shop", **settings)

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved | AuditNoted:
        return StockReserved(order.order_id)

    @app.on("stock:*", "mail:*")
    async def ship(data: Any) -> None: ...

    return app


def test_events_lead_from_publishers_over_groups_to_what_they_return() -> None:
    chart = draw(shop())

    assert chart.arrows() == {
        ("shop", "order:created"),
        ("order:created", "shop.reserve"),
        ("shop.reserve", "stock:reserved"),
        ("shop.reserve", "audit:noted"),
        ("stock:reserved", "shop.ship"),
        ("shop", "mail:*"),
        ("mail:*", "shop.ship"),
    }
    assert chart.classes[chart.called("audit:noted")] == "private"


def test_a_service_takes_what_it_hears_from_the_bus_and_gives_what_is_public() -> None:
    chart = draw(shop(log="memory:", broker="memory:bus"))

    arrows = chart.arrows()
    assert {("bus", "order:created"), ("stock:reserved", "bus"), ("bus", "mail:*")} <= arrows
    assert not {("order:created", "bus"), ("audit:noted", "bus"), ("shop", "order:created")} & arrows


def test_an_application_without_handlers_is_a_chart_too() -> None:
    assert draw(App("shop")).nodes == {}
    assert draw(App("shop", contracts=[OrderCreated])).arrows() == {("shop", "order:created")}


@pytest.mark.parametrize("label", ['a "quoted" <b>bold</b> & `code` \\ #35; | {x} (y) [z]', "x" * 200, "line\nbreak ;"])
def test_labels_are_written_so_that_the_grammar_holds(label: str) -> None:
    chart = Chart({})
    chart.node("a", "box", [label, label])
    chart.node("b", "cylinder", ["b"])
    chart.edge("a", "b", label)

    found = read(chart.source())

    assert found.edges == [("a", "b")]
    assert all(len(line) < 200 for line in found.nodes["a"])
