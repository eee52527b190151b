"""What cannot be decoded on its way in, or recorded on its way out, is parked with all that is known of it."""

from tests.handling.conftest import NewApp
from tests.handling.failing.stage import Failing, attempted
from tests.handling.stage import Heard, OrderCreated, StockReserved, caught_up, parked, pass_time, recorded, until
from tidings import App, Event, Retry, event


async def test_bytes_that_cannot_be_decoded_are_dead_letters_as_they_are(app: App, sync: bool) -> None:
    handler = Failing()
    handler.on(app, sync=sync, retry=Retry(attempts=9))

    async with app.running():
        broken = Event(source="x", type="order:created", data=b"\xff\x00{", content_type="text/plain")
        misfit = Event(source="x", type="order:created", data={"order_id": "many"}, key="7")
        await app.log.append([broken, misfit])
        await app.publish_many([OrderCreated(2, "a")])
        await handler.done.reach(1)
        first, second = await parked(app, "dead", "dead")

    assert first.record is not None
    assert first.record.data == b"\xff\x00{"
    assert "ContractError" in first.reason
    assert "$.order_id" in second.reason
    assert (first.attempts, handler.calls) == (1, [(2, 1)])


async def test_an_undecodable_event_stays_behind_those_of_its_key_before_it(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync)

    async with app.running():
        misfit = Event(source="x", type="order:created", data={"order_id": "many"}, key="1")
        good = Event(source="x", type="order:created", data={"order_id": 1}, key="1")
        await app.log.append([good, misfit])
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await parked(app, "dead")

    assert [done.order_id for done in handler.done] == [1]


async def test_a_newer_version_waits_for_the_process_that_knows_it(new_app: NewApp, sync: bool) -> None:
    @event("order:paid", version=2, key="order_id")
    class OrderPaid:
        order_id: int
        method: str

    @event("order:paid", version=1, key="order_id")
    class OldOrderPaid:
        order_id: int
        cash: bool

    old, new, keeper = new_app(), new_app(), new_app("keeper")
    heard, calls = Heard[OrderPaid](), Heard[object]()

    def of_old(paid: OldOrderPaid) -> None:
        calls.note(paid)

    async def of_old_later(paid: OldOrderPaid) -> None:
        calls.note(paid)

    old.on(group="g", retry=Retry.never())(of_old if sync else of_old_later)

    @new.on(group="g")
    async def show(paid: OrderPaid) -> None:
        heard.note(paid)

    async with keeper:
        await keeper.publish(Event(source="x", type="order:paid", version=2, data={"order_id": 1, "method": "cash"}))
        async with old.running():
            for _ in range(12):
                [one] = await parked(old, "retry")
                attempts = one.attempts
                pass_time(old, 400)
                await until(lambda: attempted(old, attempts + 1), old.log)  # noqa: B023
            assert "newer than this process" in one.reason
        async with new.running():
            pass_time(new, 400)
            assert await heard.reach(1) == [OrderPaid(1, "cash")]
            await parked(new)
    assert calls == []


async def test_what_a_handler_raises_is_kept_though_it_cannot_be_shown_or_written(app: App) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise ValueError

    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        raise Unspeakable if order.order_id == 1 else OSError("file \udcff is not there")

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        first, second = await parked(app, "dead", "dead")

    assert first.reason == "Unspeakable, which cannot be shown: ValueError"
    assert second.reason == r"OSError: file \udcff is not there"


async def test_a_very_long_error_is_cut(app: App) -> None:
    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        raise OSError("x" * 100_000)

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "dead")

    assert len(one.reason) == 2000
    assert len(one.detail) == 16_000


async def test_what_is_no_event_is_a_dead_letter_that_names_the_type(app: App, sync: bool) -> None:
    heard = Heard[int]()

    def reserve(order: OrderCreated) -> object:
        heard.note(order.order_id)
        return {"order_id": 1} if order.order_id == 1 else StockReserved(order.order_id)

    async def reserve_later(order: OrderCreated) -> object:
        return reserve(order)

    app.on(group="g", retry=Retry(attempts=9))(reserve if sync else reserve_later)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        [one] = await parked(app, "dead")
        await caught_up(app)
        assert [reserved.data for reserved in await recorded(app.log, "stock:reserved")] == [{"order_id": 2}]

    assert one.reason.startswith("ConfigurationError: dict is no event")
    assert heard == [1, 2]


async def test_an_event_that_does_not_fit_its_contract_is_a_dead_letter_and_not_recorded(app: App) -> None:
    @app.on()
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved("many")  # type: ignore[arg-type]

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "dead")
        assert await recorded(app.log, "stock:reserved") == []

    assert "stock:reserved version 1 does not fit its contract at $.order_id" in one.reason
