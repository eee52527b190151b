"""Dead letters from Python: found, decided upon, and made."""

import pytest

from tests.handling.stage import Heard, OrderCreated, caught_up, parked, until
from tests.log.test_backlog import damage
from tidings import App, Event, Retry
from tidings.errors import ConfigurationError


@pytest.fixture
def failing() -> set[int]:
    return {-1}


@pytest.fixture
def shop(app: App, failing: set[int]) -> App:
    """`shop.show` fails for some orders."""

    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        if order.order_id in failing:
            raise ValueError("no")

    return app


async def test_letters_are_found_by_id_and_position_with_what_waits_behind(shop: App) -> None:
    async with shop.running():
        first, *_ = [await shop.publish(OrderCreated(number)) for number in (-1, -1, -1, 2)]
        await parked(shop, "dead", "blocked", "blocked")

        by_id = await shop.dead.find(first.id)
        by_position = await shop.dead.find(first.position or "", group="shop.show")
        listed = await shop.dead.list()

        assert by_id == by_position == listed.letters
        assert [(letter.position, letter.behind) for letter in by_id] == [(first.position, 2)]
        with pytest.raises(ConfigurationError, match="nothing is no dead letter"):
            await shop.dead.find("nothing")
        with pytest.raises(ConfigurationError, match="no group 'nobody'"):
            await shop.dead.list("nobody")


async def test_a_list_says_how_many_it_leaves_out(shop: App, failing: set[int]) -> None:
    failing |= {-2, -3}
    async with shop.running():
        await shop.publish_many([OrderCreated(number) for number in (-1, -2, -3)])
        await parked(shop, "dead", "dead", "dead")

        found = await shop.dead.list(limit=1)

        assert (len(found.letters), found.more) == (1, 2)


async def test_letters_are_retried_skipped_and_dropped(shop: App, failing: set[int]) -> None:
    failing |= {-2, -3}
    async with shop.running():
        events = [await shop.publish(OrderCreated(number)) for number in (-1, -2, -3, -3)]
        await parked(shop, "dead", "dead", "dead", "blocked")
        failing.remove(-1)

        retried = await shop.dead.retry(events[0].id)
        skipped = await shop.dead.skip(events[1].id)
        dropped = await shop.dead.drop(group="shop.show")

        counts = [[(one.group, one.count, one.is_run) for one in each] for each in (retried, skipped)]
        assert counts == [[("shop.show", 1, True)]] * 2
        assert dropped[0].count >= 2
        await parked(shop)


async def test_an_event_made_a_dead_letter_beforehand_is_passed_over(shop: App) -> None:
    async with shop:
        async with shop.running():
            await shop.publish(OrderCreated(1))
            await caught_up(shop)
        bad = await shop.publish(OrderCreated(-1))
        later = await shop.publish(OrderCreated(-1))

        assert await shop.dead.add("shop.show", bad.id, "its handler kills the process") == bad.position
        with pytest.raises(ConfigurationError, match="names no events"):
            await shop.dead.add("shop.show", "nothing")
        async with shop.running():
            found = await parked(shop, "dead", "dead")

        assert [(one.event_id, one.reason, one.attempts) for one in found] == [
            (bad.id, "its handler kills the process", 0),
            (later.id, "ValueError: no", 1),
        ]


@pytest.mark.parametrize("column", ["data", "envelope"])
async def test_a_group_gets_past_a_damaged_record_by_the_command_its_reason_names(sqlite_url: str, column: str) -> None:
    app, heard = App("shop", sqlite_url), Heard[int]()

    @app.on(group="shop.whole")
    async def show(order: OrderCreated, event: Event) -> None:
        heard.note(order.order_id)

    async with app:
        events = [await app.publish(OrderCreated(number)) for number in range(4)]
        await damage(sqlite_url, 2, column)
        async with app.running():

            async def is_told() -> bool:
                (group,) = (await app.health()).groups
                return group.trouble is not None and "tidings dead add" in (group.reason or "")

            await until(is_told, app.log)
            before = await app.health()
            await app.dead.add("shop.whole", events[1].position or "", "damaged")
            await heard.reach(3)
            await caught_up(app)
            after = await app.health()
            (letter,) = (await app.dead.list()).letters

    assert not before.healthy
    assert after.healthy
    assert list(heard)[-2:] == [2, 3]
    assert 1 not in heard
    assert (letter.position, letter.parked.reason) == (events[1].position, "damaged")


async def test_what_waits_for_its_next_try_is_shown_with_the_failure(app: App) -> None:
    @app.on(retry=Retry(attempts=9, inline=0, wait=60.0, jitter=0.0))
    async def show(order: OrderCreated) -> None:
        raise ConnectionError("no gateway")

    async with app.running():
        first = await app.publish(OrderCreated(1))
        second = await app.publish(OrderCreated(1))
        await parked(app, "retry", "blocked")

        (letter,) = await app.dead.aside(first.id)
        (behind,) = await app.dead.aside(second.position or "", group="shop.show")

        assert (letter.parked.state, letter.parked.attempts, letter.behind) == ("retry", 1, 1)
        assert letter.parked.due >= app.clock.now()
        assert 'raise ConnectionError("no gateway")' in letter.parked.detail
        assert behind.parked.state == "blocked"
        assert (await app.dead.list(state="retry")).letters == [letter]
        assert (await app.dead.list()).letters == []
        with pytest.raises(ConfigurationError, match="no group has set nothing aside"):
            await app.dead.aside("nothing")
