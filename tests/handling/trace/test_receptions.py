"""A trace says what each group did with an event, why twice, and who has not come so far."""

from typing import Any

from tests.handling.conftest import NewApp
from tests.handling.stage import OrderCreated, StockReserved, caught_up, parked, pass_time, until
from tests.handling.trace.stage import World, by_type, forget, group, services, story
from tidings import App, Event, Reject, Retry
from tidings.clock import ManualClock
from tidings.handling.trace import tree
from tidings.log import START, open_log
from tidings.log.group import Group


async def test_it_says_who_tried_again_and_why(shop: App, world: World) -> None:
    world.refusals = 2
    order = await shop.publish(OrderCreated(1))
    await parked(shop, "retry")

    waiting = group(by_type(await shop.trace(order.id), "stock:reserved"), "shop.payment")

    assert (waiting.state, waiting.calls, waiting.reason) == ("retry", 1, "ConnectionError: the gateway is away")
    assert waiting.due is not None
    pass_time(shop, 11)
    await until_calls(shop, 2)
    pass_time(shop, 30)
    await parked(shop)
    done = group(by_type(await shop.trace(order.id), "stock:reserved"), "shop.payment")
    assert (done.state, done.calls, story(done)) == ("handled", 3, ["retry", "retry", "handled"])
    assert [step.reason for step in done.steps[:2]] == ["ConnectionError: the gateway is away"] * 2


async def until_calls(app: App, calls: int) -> None:
    async def is_so() -> bool:
        return any(one.attempts == calls for one in await app.log.ledger.parked())

    await until(is_so, app.log)


async def test_it_says_what_is_dead_and_what_waits_behind_it(shop: App, world: World) -> None:
    world.addresses = False
    first = await shop.publish(OrderCreated(1))
    await parked(shop, "dead", "blocked")
    second = await shop.publish(OrderCreated(1))
    await parked(shop, "dead", "blocked", "blocked", "blocked")

    dead = group((await shop.trace(first.id)).root, "shop.mail")
    blocked = group((await shop.trace(second.id)).root, "shop.mail")

    assert (dead.state, dead.reason, dead.calls) == ("dead", "ValueError: no address", 1)
    assert (blocked.state, blocked.behind) == ("blocked", first.id)
    await shop.log.ledger.discard("shop.mail", followers=True)
    given_up = [group((await shop.trace(each.id)).root, "shop.mail") for each in (first, second)]
    assert [each.state for each in given_up] == ["dropped", "dropped"]
    assert [story(each) for each in given_up] == [["dead", "dropped"], ["blocked", "dropped"]]


async def test_it_says_that_an_operator_had_it_heard_again(shop: App) -> None:
    order = await shop.publish(OrderCreated(1))
    await caught_up(shop)

    await shop.log.ledger.reset("shop.audit", START)
    await caught_up(shop)

    audit = group(by_type(await shop.trace(order.id), "payment:taken"), "shop.audit")
    assert story(audit) == ["handled", "reset", "handled"]
    assert "2 times in all" in tree(await shop.trace(order.id))


async def test_it_says_that_a_member_died_that_may_have_called_the_handler(new_app: NewApp, url: str) -> None:
    async with new_app() as held:  # it keeps a log in memory
        order = await held.publish(OrderCreated(1))
        dying = await open_log(url)
        await dying.ledger.join(Group("shop.forget", ("order:created",)))
        await dying.ledger.claim("shop.forget", member := await dying.ledger.enter())
        await dying.close()  # as a process that dies: nobody has left
        app = new_app()
        app.on(OrderCreated)(forget)
        async with app.running():
            await caught_up(app)
            trace = await app.trace(order.id)

    heard = group(trace.root, "shop.forget")
    assert (heard.state, story(heard), heard.steps[0].member) == ("handled", ["lost", "handled"], member)
    assert f"{member} died or stood still" in tree(trace)


async def test_it_says_that_an_event_came_twice(shop: App) -> None:
    order = await shop.publish(OrderCreated(1), id="order-1")
    await shop.publish(OrderCreated(1), id="order-1")
    await caught_up(shop)

    trace = await shop.trace(order.id)

    assert [step.what for step in trace.root.repeats] == ["duplicate"]
    assert "came again" in tree(trace)


async def test_it_says_that_a_handler_was_called_again_on_the_spot(url: str) -> None:
    app = App("shop", url)
    failures = [OSError("first"), OSError("second")]

    @app.on(OrderCreated, retry=Retry(attempts=3, inline=2, wait=0.001))
    async def flaky(order: OrderCreated) -> None:
        if failures:
            raise failures.pop(0)

    @app.on(OrderCreated, retry=Retry(attempts=3, inline=2, wait=0.001))
    def threaded(order: OrderCreated) -> None:
        if not hasattr(threaded, "called"):
            threaded.called = True  # type: ignore[attr-defined]
            raise OSError("once")

    async with app.running():
        orders = [await app.publish(OrderCreated(number)) for number in range(2)]
        await caught_up(app)

        roots = [(await app.trace(each.id)).root for each in orders]
        assert sorted(group(root, "shop.flaky").calls for root in roots) == [1, 3]
        assert sorted(group(root, "shop.threaded").calls for root in roots) == [1, 2]
        assert {group(root, "shop.flaky").reason for root in roots} == {"", "OSError: second"}


async def test_it_says_that_a_conflict_had_a_handler_run_again(sqlite_url: str) -> None:
    app = App("shop", sqlite_url)
    seen: list[int] = []

    @app.on_start
    async def tables() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS stock(left_over INTEGER)")
            tx.execute("INSERT INTO stock VALUES (5)")

    @app.on(OrderCreated)
    async def take(order: OrderCreated, tx: Any) -> None:
        seen.append(order.order_id)
        wrong = len(seen) == 1
        tx.execute("UPDATE stock SET left_over = left_over - 1 WHERE left_over = ?", (4 if wrong else 5,), rows=1)

    async with app.running():
        order = await app.publish(OrderCreated(1))
        await caught_up(app)

        took = group((await app.trace(order.id)).root, "shop.take")
        assert len(seen) == 2
        assert (took.state, took.calls, story(took)) == ("handled", 2, ["handled"])
        assert took.reason.startswith("Conflict: ")


async def test_it_says_who_has_not_come_so_far(new_app: NewApp, world: World) -> None:
    app = new_app()
    services(app, world)
    async with app.running():
        await app.publish(OrderCreated(1))
        await caught_up(app)
        await app.log.ledger.set_state("shop.audit", "paused")
        later = await app.publish(OrderCreated(2))
        await caught_up_but(app, "shop.audit")

        audit = group(by_type(await app.trace(later.id), "payment:taken"), "shop.audit")

    assert (audit.state, audit.is_paused) == ("waiting", True)
    assert audit.lag > 0


async def caught_up_but(app: App, *others: str) -> None:
    async def is_so() -> bool:
        return not any(each.lag for each in await app.log.ledger.groups() if each.name not in others)

    await until(is_so, app.log)


async def test_what_was_done_before_anything_was_kept_is_not_made_up(new_app: NewApp, world: World) -> None:
    app = new_app(lineage=False)
    services(app, world)
    async with app.running():
        order = await app.publish(OrderCreated(1))
        await caught_up(app)

        states = {each.state for event in (await app.trace(order.id)).events() for each in event.receptions}

    assert states == {"unknown"}


async def test_a_group_that_begins_later_has_not_handled_what_came_before(new_app: NewApp) -> None:
    async with new_app() as early:
        order = await early.publish(OrderCreated(1))
        app = new_app()
        app.on(OrderCreated, group="late", start="latest")(forget)
        async with app.running():
            newer = await app.publish(OrderCreated(2))
            await caught_up(app)

            states = [group((await app.trace(each.id)).root, "late").state for each in (order, newer)]

    assert states == ["unknown", "handled"]


async def test_a_group_that_hears_more_than_it_did_has_not_handled_what_it_passed(new_app: NewApp) -> None:
    async with new_app() as held:  # it keeps a log in memory
        app = new_app()
        app.on(OrderCreated, group="wide")(forget)
        async with app.running():
            order = await app.publish(OrderCreated(1))
            stock = await app.publish(StockReserved(1))
            await caught_up(app)
        wider = new_app()
        wider.on("**", group="wide")(forget)
        async with wider.running():
            traces = [await held.trace(each.id) for each in (order, stock)]

    assert [group(trace.root, "wide").state for trace in traces] == ["handled", "unknown"]


async def test_what_is_private_is_not_said_to_be_relayed(url: str) -> None:
    bus = f"{url}-bus"
    app = App("shop", log=url, broker=bus)
    async with app.running():
        public = await app.publish("a", {})
        await app.log.append([Event(id="private", source="shop", type="a")], public=False)
        await caught_up(app)

        groups = [[each.group for each in (await app.trace(id)).root.receptions] for id in (public.id, "private")]

    assert groups == [["shop:outbound"], []]


async def test_a_rejected_event_is_dead_and_blocks_nobody(app: App) -> None:
    @app.on(OrderCreated)
    async def refuse(order: OrderCreated) -> None:
        if order.total == "0":
            raise Reject("nothing to pay")

    async with app.running():
        orders = [await app.publish(OrderCreated(1, total)) for total in ("0", "1")]
        await caught_up(app)

        states = [group((await app.trace(each.id)).root, "shop.refuse").state for each in orders]

    assert states == ["dead", "handled"]


async def test_what_flow_control_leaves_out_is_passed_over_and_not_said_to_be_handled(
    app: App, clock: ManualClock
) -> None:
    @app.on(OrderCreated, throttle="1/10s")
    async def first(order: OrderCreated) -> None: ...

    @app.on(OrderCreated, debounce=5.0)
    async def last(order: OrderCreated) -> None: ...

    async with app.running():
        orders = [await app.publish(OrderCreated(1, total)) for total in ("a", "b", "c")]
        await until(lambda: _read_all(app), app.log)
        pass_time(app, 5.0)
        await caught_up(app)
        await parked(app)

        traces = [(await app.trace(each.id)).root for each in orders]
        states = {name: [group(each, name).state for each in traces] for name in ("shop.first", "shop.last")}

    assert states == {"shop.first": ["handled", "passed", "passed"], "shop.last": ["passed", "passed", "handled"]}


async def _read_all(app: App) -> bool:
    return not any(each.lag for each in await app.log.ledger.groups())
