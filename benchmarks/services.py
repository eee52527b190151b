"""Two services, two processes, three files: log, outbound, bus, inbound, log, handler. Where does the time go?

The rows that follow the first are its stages on their own, each with the same events and nothing else to do.
"""

import asyncio
from multiprocessing import get_context
from multiprocessing.synchronize import Event as Signal
from pathlib import Path
from time import monotonic, perf_counter, process_time

from benchmarks.catch_up import Counter
from benchmarks.harness import Place, Question, Row, Samples, partner
from benchmarks.orders import Gauge, OrderCreated, batches, orders
from tidings import App
from tidings.brokers import connect
from tidings.clock import SystemClock
from tidings.handling.relay import Inbound
from tidings.log import Log, open_log
from tidings.log.position import order_in

BATCH = 100


def together(place: Place) -> Samples:
    """From the first `publish_many` in one process to the last handler's call in the other."""
    context = get_context("spawn")
    ready, go, finished = context.Event(), context.Event(), context.Event()
    began, busy = context.Value("d"), context.Value("d")
    seller = partner(_sell_all, place, ready, go, finished, began, busy)
    rate, own = asyncio.run(_hear_all(place, ready, go, began))
    finished.set()
    seller.join()
    return {"rate": [rate], "publisher": [busy.value], "consumer": [own]}


def _sell_all(place: Place, ready: Signal, go: Signal, finished: Signal, began, busy) -> None:
    async def sell_all() -> None:
        values = orders(place.size)
        async with _service("shop", place.fresh).running() as app:
            ready.set()
            await asyncio.to_thread(go.wait)
            began.value, used = monotonic(), process_time()
            for batch in batches(values, BATCH):
                await app.publish_many(batch)
            await asyncio.to_thread(finished.wait)
            busy.value = 100 * (process_time() - used) / (monotonic() - began.value)

    asyncio.run(sell_all())


async def _hear_all(place: Place, ready: Signal, go: Signal, began) -> tuple[float, float]:
    app = _service("warehouse", place.fresh)
    counter = Counter(place.size)
    app.on(OrderCreated)(counter.handler())
    async with app.running():
        await asyncio.to_thread(ready.wait)
        go.set()
        used = process_time()
        await counter.done.wait()
        seconds = monotonic() - began.value
        return place.size / seconds, 100 * (process_time() - used) / seconds


def append(place: Place) -> Samples:
    """The first service records its events."""

    async def append_all() -> float:
        return await _publish_all(_service("shop", place.fresh), place.size)

    return {"rate": [asyncio.run(append_all())]}


def outbound(place: Place) -> Samples:
    """The first service hands what it has recorded to the bus."""

    async def relay_all() -> float:
        app = _service("shop", place.fresh)
        await _publish_all(app, place.size)
        bus = await open_log(_url(place.fresh, "bus"))
        began = perf_counter()
        async with app.running():
            await _come_to(bus, place.size)
            rate = place.size / (perf_counter() - began)
        await bus.close()
        return rate

    return {"rate": [asyncio.run(relay_all())]}


def inbound(place: Place) -> Samples:
    """The second service records what the bus has for it."""

    async def receive_all() -> float:
        await _publish_all(App("shop", _url(place.fresh, "bus"), contracts=[OrderCreated]), place.size)
        broker = await connect(_url(place.fresh, "bus"))
        log = await open_log(_url(place.fresh, "warehouse"))
        began = perf_counter()
        relay = asyncio.create_task(Inbound(log, broker, "warehouse", ["order:created"], SystemClock()).run())
        await _come_to(log, place.size)
        rate = place.size / (perf_counter() - began)
        relay.cancel()
        await asyncio.wait([relay])
        await broker.close()
        await log.close()
        return rate

    return {"rate": [asyncio.run(receive_all())]}


def handler(place: Place) -> Samples:
    """The second service handles what it has recorded."""

    async def handle_all() -> float:
        app = App("warehouse", _url(place.fresh, "warehouse"), contracts=[OrderCreated], metrics=Gauge())
        counter = Counter(place.size)
        app.on(OrderCreated)(counter.handler())
        await _publish_all(app, place.size)
        began = perf_counter()
        async with app.running():
            await counter.done.wait()
            return place.size / (perf_counter() - began)

    return {"rate": [asyncio.run(handle_all())]}


def _service(name: str, folder: Path) -> App:
    log, bus = _url(folder, name), _url(folder, "bus")
    return App(name, log=log, broker=bus, contracts=[OrderCreated], metrics=Gauge())


def _url(folder: Path, name: str) -> str:
    return f"sqlite:///{folder}/{name}.db"


async def _publish_all(app: App, count: int) -> float:
    values = orders(count)
    async with app:
        began = perf_counter()
        for batch in batches(values, BATCH):
            await app.publish_many(batch)
        return count / (perf_counter() - began)


async def _come_to(log: Log, count: int) -> None:
    ear = log.bell.listen()
    while order_in(log.bell.tip) < count:
        await ear.wait(0.1)
    log.bell.forget(ear)


QUESTION = Question(
    contenders={
        "tidings": together,
        "append": append,
        "outbound": outbound,
        "inbound": inbound,
        "handler": handler,
    },
    rows=[
        Row("service to service over log and bus", at_least=15_000),
        Row("… CPU of the publishing process", figure="publisher", unit="%"),
        Row("… CPU of the consuming process", figure="consumer", unit="%"),
        Row("… append alone, 100 a commit", of="append"),
        Row("… outbound alone", of="outbound"),
        Row("… inbound alone", of="inbound"),
        Row("… handler alone", of="handler"),
    ],
    size=40_000,
    quick_size=2000,
)
