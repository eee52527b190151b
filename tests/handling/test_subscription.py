"""What a group hears, and where it begins."""

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import Heard, OrderCreated, StockReserved, caught_up
from tidings import App, Event, event
from tidings.errors import ConfigurationError, DuplicateGroup, InvalidName
from tidings.events import contract


async def test_a_pattern_hears_what_fits_it_and_nothing_else(app: App) -> None:
    one, many, exact = Heard[str](), Heard[str](), Heard[str]()

    @app.on("order:*")
    async def segment(event: Event) -> None:
        one.note(event.type)

    @app.on("order:**", "stock.*")
    async def segments(event: Event) -> None:
        many.note(event.type)

    @app.on("order:created")
    async def literal(event: Event) -> None:
        exact.note(event.type)

    async with app.running():
        for name in ("order:created", "order:line:added", "order", "stock:reserved", "orders:created"):
            await app.publish(name, {})
        await caught_up(app)

    assert one == ["order:created"]
    assert many == ["order:created", "order:line:added", "order", "stock:reserved"]
    assert exact == ["order:created"]


async def test_a_version_in_a_published_name_is_heard_under_the_plain_name(app: App) -> None:
    heard = Heard[tuple[str, int]]()

    @app.on("order:created")
    async def show(event: Event) -> None:
        heard.note((event.type, event.version))

    async with app.running():
        await app.publish("order:created.v2", {})
        await app.publish(Event(source="other", type="order:created.v3", data={}))
        assert await heard.reach(2) == [("order:created", 2), ("order:created", 3)]


async def test_a_version_in_a_subscribed_name_hears_the_plain_name(app: App) -> None:
    heard = Heard[int]()

    @app.on("order:created.v2")
    async def show(event: Event) -> None:
        heard.note(event.version)

    async with app.running():
        await app.publish("order:created.v2", {})
        await app.publish("order:created", {})
        assert await heard.reach(2) == [2, 1]


async def test_a_contract_of_a_class_of_ones_own_is_heard_by_its_name(app: App) -> None:
    shipped = contract("order:shipped", dict)
    heard = Heard[object]()

    @app.on(shipped)
    async def show(shipment: dict[str, int]) -> None:
        heard.note(shipment)

    async with app.running():
        await app.publish("order:shipped", {"order_id": 7})
        assert await heard.reach(1) == [{"order_id": 7}]


async def test_a_new_group_begins_at_the_logs_beginning(app: App) -> None:
    heard = Heard[int]()

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app:
        await app.publish(OrderCreated(1))
        async with app.running():
            await app.publish(OrderCreated(2))
            assert await heard.reach(2) == [1, 2]


async def test_a_new_group_can_begin_at_the_end_or_at_a_position(app: App) -> None:
    latest, later = Heard[int](), Heard[int]()
    async with app:
        first = await app.publish(OrderCreated(1))
        await app.publish(OrderCreated(2))

        @app.on(start="latest")
        async def from_the_end(order: OrderCreated) -> None:
            latest.note(order.order_id)

        @app.on(start=first.position or "")
        async def from_a_position(order: OrderCreated) -> None:
            later.note(order.order_id)

        async with app.running():
            await app.publish(OrderCreated(3))
            assert await later.reach(2) == [2, 3]
            assert await latest.reach(1) == [3]


async def test_a_group_goes_on_where_it_was_whatever_its_start_says_now(new_app: NewApp) -> None:
    heard = Heard[int]()

    def register(app: App, start: str) -> App:
        @app.on(start=start)
        async def show(order: OrderCreated) -> None:
            heard.note(order.order_id)

        return app

    app, keeper = new_app(), new_app("keeper")
    async with keeper:
        async with register(app, "earliest").running():
            await app.publish(OrderCreated(1))
            await heard.reach(1)
        await keeper.publish(OrderCreated(2))
        async with register(new_app(), "latest").running():
            assert await heard.reach(2) == [1, 2]


def test_two_groups_of_one_name_are_refused() -> None:
    app = App("shop")

    @app.on()
    async def show(order: OrderCreated) -> None: ...

    with pytest.raises(DuplicateGroup, match=r"'shop\.show'"):

        @app.on()
        async def show(order: OrderCreated) -> None: ...

    with pytest.raises(DuplicateGroup):

        @app.on(group="shop.show")
        async def other(order: OrderCreated) -> None: ...


async def test_a_handler_that_comes_after_the_start_is_refused(app: App) -> None:
    async with app.running():
        with pytest.raises(ConfigurationError, match="too late"):

            @app.on()
            async def show(order: OrderCreated) -> None: ...


def test_a_handler_that_names_no_event_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="hears nothing"):

        @App("shop").on()
        async def show(order: dict[str, int]) -> None: ...


def test_a_handler_that_takes_what_it_cannot_hear_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="hears stock:reserved but takes order:created"):

        @App("shop").on(StockReserved)
        async def show(order: OrderCreated) -> None: ...

    @App("shop").on("order:*")
    async def fits(order: OrderCreated) -> None: ...


def test_what_is_no_event_cannot_be_heard() -> None:
    with pytest.raises(ConfigurationError, match="no event"):
        App("shop").on(dict)(_show)
    with pytest.raises(InvalidName):
        App("shop").on("ord*")(_show)


def test_tx_and_several_keys_at_a_time_do_not_go_together() -> None:
    with pytest.raises(ConfigurationError, match="with tx it is 1"):

        @App("shop").on(concurrency=2)
        async def show(order: OrderCreated, tx: object) -> None: ...


async def test_a_handler_hears_every_version_as_the_newest(app: App) -> None:
    @event("order:paid", version=2)
    class OrderPaid:
        order_id: int
        method: str = "card"

    heard = Heard[OrderPaid]()

    @app.on(OrderPaid)
    async def show(paid: OrderPaid) -> None:
        heard.note(paid)

    async with app.running():
        await app.publish(Event(source="old", type="order:paid", version=1, data={"order_id": 1}))
        await app.publish(OrderPaid(2, "cash"))
        assert await heard.reach(2) == [OrderPaid(1, "card"), OrderPaid(2, "cash")]


async def _show(order: OrderCreated) -> None: ...
