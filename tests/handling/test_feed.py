"""One look and one decoding for all groups of a process; values are shared only when nobody can change them."""

from typing import Any

from tests.handling.stage import Heard, OrderCreated
from tidings import App, event
from tidings.log import Where


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
