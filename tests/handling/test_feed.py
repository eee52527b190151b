"""One look and one decoding for all groups of a process; values are shared only when nobody can change them."""

from typing import Any

from tests.handling.stage import Heard, OrderCreated, parked
from tidings import App, Event, Retry, event
from tidings.events import Catalog, PatternSet
from tidings.handling.feed import Feed
from tidings.log import START, Where


@event("basket:filled")
class BasketFilled:
    items: list[str]


async def test_groups_share_a_value_that_nobody_can_change(app: App) -> None:
    heard = Heard[OrderCreated]()

    @app.on(group="a")
    async def first(order: OrderCreated) -> None:
        heard.note(order)

    @app.on(group="b")
    async def second(order: OrderCreated) -> None:
        heard.note(order)

    async with app:
        await app.publish(OrderCreated(1))
        async with app.running():
            one, other = await heard.reach(2)

    assert one is other


async def test_a_change_by_one_group_is_not_seen_by_another(app: App) -> None:
    heard = Heard[list[str]]()

    def listen(group: str) -> None:
        @app.on(group=group)
        async def fill(basket: BasketFilled) -> None:
            basket.items.append(group)
            heard.note(basket.items)

    for group in "abc":
        listen(group)

    async with app:
        await app.publish(BasketFilled(["book"]))
        async with app.running():
            await heard.reach(3)

    assert sorted(heard) == [["book", "a"], ["book", "b"], ["book", "c"]]


async def test_plain_data_is_each_groups_own(app: App) -> None:
    heard = Heard[dict[str, Any]]()

    @app.on("order:*", group="a")
    async def first(order: dict[str, Any]) -> None:
        order.clear()
        heard.note(order)

    @app.on("order:*", group="b")
    async def second(order: dict[str, Any]) -> None:
        heard.note(order)

    async with app:
        await app.publish("order:seen", {"order_id": 1})
        async with app.running():
            await heard.reach(2)

    assert sorted(map(len, heard)) == [0, 1]


async def test_a_slice_is_fetched_once_for_all_groups(app: App) -> None:
    heard = Heard[str]()

    def listen(group: str) -> None:
        @app.on(group=group)
        async def show(order: OrderCreated) -> None:
            heard.note(group)

    for number in range(10):
        listen(str(number))

    async with app:
        await app.publish_many([OrderCreated(number) for number in range(100)])
        log: Any = app.log
        scan, looks = log.scan, Heard[str]()

        async def counted(after: str, where: Where, limit: int) -> Any:
            looks.note(after)
            return await scan(after, where, limit)

        log.scan = counted
        async with app.running():
            await heard.reach(1000)

    assert looks.count("") == 1


async def test_a_value_that_a_handler_may_change_is_decoded_once_for_the_first_of_its_groups(app: App) -> None:
    everything = PatternSet(["**"])

    async with app:
        feed = Feed(app.log, Catalog.collect(BasketFilled), None)
        await app.publish(BasketFilled(["book"]))
        fetched = await feed.look(START, None, lean=True)
    first, second, third = (feed.own(fetched, everything)[0].value for _ in range(3))

    assert first is fetched.items[0].value
    assert first == second == third
    assert len({id(first.items), id(second.items), id(third.items)}) == 3


async def test_what_is_no_json_is_handled_as_it_is_unless_a_contract_says_otherwise(app: App) -> None:
    plain, whole = Heard[Any](), Heard[Any]()

    @app.on("image:*", "basket:filled", group="plain")
    async def see(data: Any) -> None:
        plain.note(data)

    @app.on("image:*", group="whole")
    async def look(event: Event) -> None:
        whole.note((event.data, event.content_type))

    @app.on(group="typed", retry=Retry.never())
    async def fill(basket: BasketFilled) -> None: ...

    async with app:
        await app.publish("image:named", {"name": "cat"})
        await app.publish(Event(source="web", type="image:taken", data=b"\xff\x00", content_type="image/png"))
        await app.publish(Event(source="web", type="image:described", data="a cat", content_type="text/plain"))
        broken = Event(source="web", type="basket:filled", data=b"\xff", content_type="image/png")
        await app.log.append([broken])
        async with app.running():
            await whole.reach(3)
            await plain.reach(3)
            assert [each.group for each in await parked(app, "dead", "dead")] == ["plain", "typed"]

    assert plain == [{"name": "cat"}, b"\xff\x00", b"a cat"]
    assert whole[1:] == [(b"\xff\x00", "image/png"), (b"a cat", "text/plain")]
