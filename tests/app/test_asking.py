"""Questions: asked of this application or another service, answered with what the handler returns, or how it failed."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.handling.stage import Heard
from tidings import App, Event, Reject, event
from tidings.brokers import connect
from tidings.errors import AnswerFailed, ContractError, NotOneHandler, Unanswered

_names = itertools.count()


@event("stock:asked", key="sku")
class StockAsked:
    sku: str


@event("stock:level")
class StockLevel:
    sku: str
    left: int


def stock(**urls: Any) -> App:
    app = App("stock", **urls)

    @app.on(StockAsked)
    async def level(asked: StockAsked) -> StockLevel | dict[str, int]:
        if asked.sku == "none":
            raise Reject("we do not sell that")
        if asked.sku == "bad":
            raise KeyError("bad")
        if asked.sku == "plain":
            return {"left": 2}
        return StockLevel(asked.sku, 7)

    return app


@pytest.fixture(params=["log", "log and broker", "broker", "one application"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    """An application whose questions about stock are answered, by another one or by itself."""
    bus = f"memory:ask-{next(_names)}"
    keeper = await connect(bus)
    await keeper.publish([])
    ways: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "log": ({"log": f"sqlite:///{tmp_path}/shop.db", "broker": bus}, {"log": "memory:", "broker": bus}),
        "log and broker": ({"log": "memory:", "broker": bus}, {"broker": bus}),
        "broker": ({"broker": bus}, {"broker": bus}),
    }
    async with contextlib.AsyncExitStack() as running:
        if request.param in ways:
            mine, theirs = ways[request.param]
            await running.enter_async_context(stock(**theirs).running())
            yield await running.enter_async_context(App("shop", **mine).running())
        else:
            yield await running.enter_async_context(stock(url=f"sqlite:///{tmp_path}/one.db").running())
    await keeper.close()


async def test_an_answer_is_what_the_handler_returned(shop: App) -> None:
    assert await shop.ask(StockAsked("a"), returns=StockLevel) == StockLevel("a", 7)
    assert await shop.ask("stock:asked", {"sku": "plain"}) == {"left": 2}
    assert await shop.ask(StockAsked("plain"), returns=dict[str, int]) == {"left": 2}


async def test_many_may_ask_at_a_time_and_each_has_its_own_answer(shop: App) -> None:
    answers = await asyncio.gather(*[shop.ask(StockAsked(str(number)), returns=StockLevel) for number in range(50)])

    assert [answer.sku for answer in answers] == [str(number) for number in range(50)]


@pytest.mark.parametrize(("sku", "told"), [("none", "Reject: we do not sell that"), ("bad", "KeyError: 'bad'")])
async def test_a_failure_is_the_answer(shop: App, sku: str, told: str) -> None:
    with pytest.raises(AnswerFailed) as raised:
        await shop.ask(StockAsked(sku))

    assert f"{raised.value.error}: {raised.value.reason}" == told
    assert await shop.ask(StockAsked("a"), returns=StockLevel) == StockLevel("a", 7), "it holds nobody up"


async def test_an_answer_of_another_type_than_expected_is_refused(shop: App) -> None:
    with pytest.raises(ContractError):
        await shop.ask(StockAsked("plain"), returns=StockLevel)


async def test_what_is_no_question_fits_no_handler(shop: App) -> None:
    with pytest.raises((AnswerFailed, ContractError), match=r"ContractError|does not fit its contract"):
        await shop.ask("stock:asked", {"wrong": 1})


async def test_nobody_there_is_told_in_time(tmp_path: Path) -> None:
    bus = f"memory:ask-{next(_names)}"
    async with App("shop", log="memory:", broker=bus).running() as shop:
        with pytest.raises(Unanswered, match=r"stock:asked was not answered within 0\.1 s"):
            await shop.ask(StockAsked("a"), timeout=0.1)
    async with App("alone", "memory:").running() as alone:
        with pytest.raises(NotOneHandler):
            await alone.ask(StockAsked("a"))


async def test_a_handler_with_tx_answers_when_its_work_is_committed(tmp_path: Path) -> None:
    app = App("stock", f"sqlite:///{tmp_path}/stock.db")

    @app.on_start
    async def prepare() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS asked (sku TEXT)")

    @app.on(StockAsked)
    def level(asked: StockAsked, tx: Any) -> StockLevel:
        tx.execute("INSERT INTO asked VALUES (?)", (asked.sku,))
        if asked.sku == "bad":
            raise Reject("no")
        return StockLevel(asked.sku, tx.fetch("SELECT count(*) FROM asked")[0][0])

    async with app.running():
        assert await app.ask(StockAsked("a"), returns=StockLevel) == StockLevel("a", 1)
        with pytest.raises(AnswerFailed, match="Reject: no"):
            await app.ask(StockAsked("bad"))
        assert await app.ask(StockAsked("b"), returns=StockLevel) == StockLevel("b", 2)


async def test_answers_are_no_news_of_anybody(tmp_path: Path) -> None:
    bus, heard = f"memory:ask-{next(_names)}", Heard[str]()
    nosy = App("nosy", log="memory:", broker=bus)

    @nosy.on("**")
    async def listen(event: Event) -> None:
        heard.note(event.type)

    async with nosy.running(), stock(log="memory:", broker=bus).running(), App("shop", broker=bus).running() as shop:
        await shop.ask(StockAsked("a"))
        await shop.publish("order:created", 1)
        await heard.reach(2)

    assert sorted(heard) == ["order:created", "stock:asked"]


async def test_a_command_goes_to_the_service_that_handles_it(tmp_path: Path) -> None:
    bus, heard = f"memory:ask-{next(_names)}", Heard[str]()
    other = App("stock", log="memory:", broker=bus)

    @other.on("stock:reserve")
    async def reserve(event: Event) -> None:
        heard.note(event.id)

    each: tuple[dict[str, Any], ...] = ({"log": "memory:", "broker": bus}, {"broker": bus})
    for urls in each:
        async with other.running(), App("shop", **urls).running() as shop:
            await shop.send("stock:reserve", {"sku": "a"}, id=f"c-{len(heard)}")
            await heard.reach(len(heard) + 1)

    assert heard == ["c-0", "c-1"]


async def test_a_direct_handler_is_sent_to_and_asked_over_the_broker(tmp_path: Path) -> None:
    app, heard = App("stock", log="memory:", broker=f"memory:ask-{next(_names)}"), Heard[str]()

    @app.on(StockAsked, direct=True)
    async def level(asked: StockAsked) -> StockLevel:
        heard.note(asked.sku)
        return StockLevel(asked.sku, 7)

    async with app.running():
        await app.send(StockAsked("a"))
        await heard.reach(1)
        assert await app.ask(StockAsked("b"), returns=StockLevel) == StockLevel("b", 7)


async def test_asking_keeps_to_its_time_though_the_broker_is_away(tmp_path: Path) -> None:
    app = App("shop", log="memory:", broker=f"sqlite:///{tmp_path}/none/bus.db")

    async with app.running():
        began = time.monotonic()
        with pytest.raises(Unanswered):
            await app.ask(StockAsked("a"), timeout=0.3)

    assert time.monotonic() - began < 3.0


async def test_plain_code_may_ask(tmp_path: Path) -> None:
    app = stock(url=f"sqlite:///{tmp_path}/stock.db")

    async with app.running():
        answer = await asyncio.to_thread(app.sync.ask, StockAsked("a"), returns=StockLevel)
        await asyncio.to_thread(app.sync.close)

    assert answer == StockLevel("a", 7)


def test_an_answer_is_written_briefly() -> None:
    from tidings.handling.asking import Answer

    assert msgspec.json.encode(Answer()) == b"{}"
