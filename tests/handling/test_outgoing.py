"""What a handler returns or publishes: recorded with its answer, once, and with its cause."""

import dataclasses
from typing import Any

import msgspec
import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import AuditNoted, Heard, OrderCreated, StockReserved, caught_up, recorded, until
from tidings import App, Event, contract, event
from tidings.errors import ConfigurationError, ContractError, InvalidEvent
from tidings.events import Catalog, derived_id
from tidings.log import Where

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_returned_events_are_recorded_one_many_or_none(app: App) -> None:
    @app.on(group="g")
    async def reserve(order: OrderCreated) -> Any:
        return {
            1: None,
            2: StockReserved(2),
            3: [StockReserved(3), None, AuditNoted(3)],
            4: (Event(source="else", type="order:seen", data=4),),
            5: [],
        }[order.order_id]

    async with app.running():
        for number in range(1, 6):
            await app.publish(OrderCreated(number))
        await caught_up(app)
        effects = [each for each in await recorded(app.log) if each.type != "order:created"]

    assert [(each.source, each.type, each.data) for each in effects] == [
        ("shop", "stock:reserved", {"order_id": 2}),
        ("shop", "stock:reserved", {"order_id": 3}),
        ("shop", "audit:noted", {"order_id": 3}),
        ("else", "order:seen", 4),
    ]


async def test_events_published_together_are_as_each_would_be_published_alone(new_app: NewApp) -> None:
    app = new_app(contracts=[OrderCreated, contract("note:said", str)])  # a text is a name all the same

    @event("tea:made", key="cup")
    class TeaMade:  # of which the application was told nothing
        cup: str | None

    given = [
        OrderCreated(1),
        TeaMade("blue"),
        "tea:forgotten",
        Event(id="own", source="else", type="order:seen.v2", data=4, headers={"a": 1}),
        TeaMade(None),
        TeaMade("blau, grün"),
        OrderCreated(2),
    ]

    async with app:
        together = await app.publish_many(iter(given))  # type: ignore[arg-type]  # works, though nobody says so
        alone = [await app.publish(each) for each in given]

    def told(event: Event) -> Event:
        return msgspec.structs.replace(event, id="", time=None, position=None)

    assert [told(each) for each in together] == [told(each) for each in alone]
    ids = [each.id for each in together if each.id != "own"]
    assert ids == sorted(set(ids))
    assert [each.key for each in together] == ["1", "blue", None, None, None, "blau, grün", "2"]


async def test_of_events_published_together_one_that_does_not_fit_is_named_and_none_is_recorded(app: App) -> None:
    @event("tea:made", key="cup")
    class TeaMade:
        cup: str

    async with app:
        with pytest.raises(ContractError, match="tea:made"):
            await app.publish_many([OrderCreated(1), TeaMade("blue"), TeaMade(3)])  # type: ignore[arg-type]
        with pytest.raises(InvalidEvent, match="key"):
            await app.publish_many([OrderCreated(1), TeaMade("x" * 256)])
        with pytest.raises(ConfigurationError, match="int is no event"):
            await app.publish_many([OrderCreated(1), 3])

        assert await recorded(app.log) == []


async def test_a_second_run_publishes_the_same_ids_and_they_are_recorded_once(app: App) -> None:
    heard = Heard[int]()

    @app.on(group="g")
    async def reserve(order: OrderCreated) -> list[Any]:
        heard.note(order.order_id)
        return [StockReserved(order.order_id), None, Event(source="shop", type="order:seen", data=len(heard))]

    async with app.running():
        cause = await app.publish(OrderCreated(1))
        await heard.reach(1)
        await caught_up(app, "g")
        await app.log.ledger.reset("g", "")
        await heard.reach(2)
        await caught_up(app, "g")
        effects = [each for each in await recorded(app.log) if each.type != "order:created"]

    assert [each.id for each in effects] == [derived_id(cause.id, "shop", "g", index) for index in ("0", "2")]
    assert effects[1].data == 1


async def test_two_groups_effects_of_one_event_have_different_ids(app: App) -> None:
    @app.on(group="a")
    async def first(order: OrderCreated) -> StockReserved:
        return StockReserved(1)

    @app.on(group="b")
    def second(order: OrderCreated) -> StockReserved:
        return StockReserved(1)

    async with app.running():
        await app.publish(OrderCreated(1))
        await caught_up(app)
        effects = await recorded(app.log, "stock:reserved")

    assert len({each.id for each in effects}) == 2


async def test_returned_events_inherit_correlation_cause_trace_and_key(app: App) -> None:
    @app.on()
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on()
    def note(stock: StockReserved) -> AuditNoted:
        return AuditNoted(stock.order_id)

    async with app.running():
        origin = Event(source="web", type="order:created", data={"order_id": 1}, key="k", traceparent=TRACE)
        created = await app.publish(origin)
        await until(_has(app, "audit:noted"), app.log)
        [reserved] = await recorded(app.log, "stock:reserved")
        [noted] = await recorded(app.log, "audit:noted")

    assert (reserved.correlation_id, reserved.causation_id) == (created.id, created.id)
    assert (noted.correlation_id, noted.causation_id) == (created.id, reserved.id)
    assert (noted.traceparent, noted.key) == (TRACE, "k")


async def test_events_published_inside_a_handler_are_caused_likewise(app: App) -> None:
    @app.on()
    async def reserve(order: OrderCreated) -> None:
        await app.publish(StockReserved(order.order_id))

    async with app.running():
        created = await app.publish(OrderCreated(7), correlation_id="purchase")
        await until(_has(app, "stock:reserved"), app.log)
        [reserved] = await recorded(app.log, "stock:reserved")
        outside = await app.publish(StockReserved(8))

    assert (reserved.correlation_id, reserved.causation_id, reserved.key) == ("purchase", created.id, "7")
    assert (outside.correlation_id, outside.causation_id, outside.key) == (None, None, None)


async def test_every_way_of_publishing_inside_a_handler_knows_the_cause(app: App) -> None:
    @app.on()
    async def reserve(order: OrderCreated) -> None:
        if order.order_id == 1:
            await app.publish_many([StockReserved(1)])
        else:
            async with app.transaction() as tx:
                tx.publish(StockReserved(2))

    async with app.running():
        first, second = await app.publish_many([OrderCreated(1), OrderCreated(2)])
        await until(_has(app, "stock:reserved", 2), app.log)
        causes = [each.causation_id for each in await recorded(app.log, "stock:reserved")]

    assert causes == [first.id, second.id]


async def test_what_an_event_says_itself_is_kept(app: App) -> None:
    @app.on()
    async def reserve(order: OrderCreated) -> Event:
        return Event(source="shop", type="order:seen", key="own", correlation_id="own", causation_id="own")

    async with app.running():
        await app.publish(OrderCreated(7))
        await until(_has(app, "order:seen"), app.log)
        [seen] = await recorded(app.log, "order:seen")

    assert (seen.key, seen.correlation_id, seen.causation_id) == ("own", "own", "own")


async def test_effects_of_a_streams_event_keep_the_streams_order(app: App) -> None:
    @app.on("order:created")
    async def reserve(order: dict[str, int]) -> StockReserved:
        return StockReserved(order["order_id"])

    async with app.running():
        await app.log.append([Event(source="shop", type="order:created", data={"order_id": 7})], stream="order-7")
        await until(_has(app, "stock:reserved"), app.log)
        [reserved] = await recorded(app.log, "stock:reserved")

    assert reserved.key == "order-7"


async def test_a_private_contract_is_private_though_only_a_returned_value_speaks_of_it(new_app: NewApp) -> None:
    app = new_app()

    @app.on("order:created")
    async def note(order: Any) -> Any:
        return AuditNoted(1)

    async with app.running():
        await app.publish("order:created", {})
        await app.publish(AuditNoted(2))
        await until(_has(app, "audit:noted", 2), app.log)
        shown = await app.log.scan("", Where(public=True))
        assert [record.type for record in shown.records] == ["order:created"]


async def test_data_published_by_name_has_to_fit_the_contract(new_app: NewApp) -> None:
    app = new_app(contracts=[OrderCreated])

    async with app:
        with pytest.raises(ContractError, match=r"\$\.order_id"):
            await app.publish("order:created", {"order_id": "many"})
        with pytest.raises(ContractError, match=r"\$\.order_id"):
            await app.publish(Event(source="shop", type="order:created", data={"order_id": "many"}))
        made = await app.publish("order:created", {"order_id": 7})
        assert made.key == "7"
        [one] = await recorded(app.log)
        assert one.data == {"order_id": 7, "total": "1.00"}


async def test_a_key_left_to_its_default_is_the_key(new_app: NewApp) -> None:
    @event("order:shelved", key="shelf")
    class OrderShelved:
        shelf: str = "A"

    async with new_app(contracts=[OrderShelved]) as app:
        assert (await app.publish("order:shelved", {})).key == "A"
        assert (await app.publish(Event(source="x", type="order:shelved", data={}))).key == "A"


async def test_an_older_version_published_by_name_is_recorded_as_it_is(new_app: NewApp) -> None:
    @event("order:paid", version=2)
    class OrderPaid:
        order_id: int
        method: str

    async with new_app(contracts=[OrderPaid]) as app:
        made = await app.publish("order:paid.v1", {"order_id": 1})
        assert (made.type, made.version) == ("order:paid", 1)
        with pytest.raises(ContractError):
            await app.publish("order:paid.v2", {"order_id": 1})


async def test_an_event_is_completed_with_what_is_given_beside_it(app: App) -> None:
    async with app:
        made = await app.publish(Event(source="x", type="a"), id="1", key="k", subject="s", headers={"tenant": "n"})

    assert (made.id, made.key, made.subject, made.headers, made.source) == ("1", "k", "s", {"tenant": "n"}, "x")


async def test_an_id_of_ones_own_is_kept_by_publish_and_not_by_a_handlers_return(app: App) -> None:
    mine = Event(id="mine", source="shop", type="order:seen")

    @app.on(group="g")
    async def see(order: OrderCreated) -> Event:
        await app.publish(mine)
        return mine

    async with app.running():
        cause = await app.publish(OrderCreated(1))
        await caught_up(app, "g")
        seen = await recorded(app.log, "order:seen")

    assert [each.id for each in seen] == ["mine", derived_id(cause.id, "shop", "g", "0")]


async def test_a_type_with_a_contract_of_its_own_is_published_by_value(new_app: NewApp) -> None:
    @dataclasses.dataclass
    class Shipment:
        order_id: int

    async with new_app(contracts=[contract("order:shipped", Shipment, key="order_id")]) as app:
        made = await app.publish(Shipment(7))
        assert (made.type, made.key) == ("order:shipped", "7")
        with pytest.raises(ConfigurationError, match="dict is no event: decorate"):
            await app.publish({"order_id": 1})


def test_the_catalog_of_an_application_holds_what_its_handlers_return() -> None:
    app = App("shop")

    @app.on()
    async def reserve(order: OrderCreated) -> list[StockReserved] | None:
        return None

    assert {each.name for each in app.catalog()} == {"order:created", "stock:reserved"}
    assert isinstance(app.catalog(), Catalog)


def _has(app: App, name: str, count: int = 1) -> Any:
    async def is_so() -> bool:
        return len(await recorded(app.log, name)) == count

    return is_so
