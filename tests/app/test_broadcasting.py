"""A broadcast in an application with a log: every process hears what comes while it runs, and leaves nothing behind."""

from pathlib import Path

from tests.handling.stage import Heard, OrderCreated
from tidings import App
from tidings.log import open_log
from tidings.log.group import Group


def instance(url: str, name: str, heard: Heard[str]) -> App:
    app = App("shop", url)

    @app.on(OrderCreated, broadcast=True)
    async def drop(order: OrderCreated) -> None:
        heard.note(f"{name} {order.order_id}")

    return app


async def test_each_process_hears_it(tmp_path: Path) -> None:
    url, heard = f"sqlite:///{tmp_path}/shop.db", Heard[str]()
    first, second = instance(url, "first", heard), instance(url, "second", heard)

    async with first.running():
        await first.publish(OrderCreated(0))
        await heard.reach(1)
        async with second.running():
            await first.publish(OrderCreated(1))
            await heard.reach(3)
        log = await open_log(url)
        names = [each.name for each in await log.ledger.groups() if each.name.startswith("shop.drop")]
        await log.close()

    assert sorted(heard) == ["first 0", "first 1", "second 1"]
    assert len(names) == 1, "the second has taken its own away"


async def test_what_a_process_left_behind_that_was_killed_is_taken_away(tmp_path: Path) -> None:
    url, heard = f"sqlite:///{tmp_path}/shop.db", Heard[str]()
    log = await open_log(url)
    await log.ledger.join(Group("shop.drop@dead", ("order:created",), "latest", orphan_after=0.0))

    async with instance(url, "first", heard).running():
        left = [each.name for each in await log.ledger.groups()]
    await log.close()

    assert "shop.drop@dead" not in left
