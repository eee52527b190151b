"""One process, one event, coroutines that listen: what does awaiting them through an emitter cost?"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from benchmarks.harness import Place, Question, Row, Samples

Listener = Callable[[object], Awaitable[None]]
Emit = Callable[[object], Awaitable[object]]


def tidings(place: Place) -> Samples:
    """`await emitter.emit_async(name, payload)`."""
    from tidings.emitter import Emitter

    def emitting(listeners: list[Listener], *, concurrent: bool) -> Emit:
        emitter = Emitter()
        for listener in listeners:
            emitter.on("order:created", listener)
        if concurrent:
            return lambda payload: emitter.emit_async("order:created", payload, concurrent=True)
        return lambda payload: emitter.emit_async("order:created", payload)

    return {
        "one": _rate(emitting(_listeners(1), concurrent=False), place.size),
        "ten": _rate(emitting(_listeners(10), concurrent=False), place.size // 4),
        "together": _rate(emitting(_listeners(10), concurrent=True), place.size // 50),
    }


def blinker(place: Place) -> Samples:
    """`await signal.send_async(payload)`, which stops at the first failure."""
    from blinker import Signal

    def emitting(listeners: list[Listener]) -> Emit:
        signal = Signal()
        for listener in listeners:
            signal.connect(listener, weak=False)
        return lambda payload: signal.send_async(payload)

    return {
        "one": _rate(emitting(_listeners(1)), place.size),
        "ten": _rate(emitting(_listeners(10)), place.size // 4),
    }


def loop(place: Place) -> Samples:
    """Awaiting in a loop, and `asyncio.gather`."""

    def emitting(listeners: list[Listener]) -> Emit:
        async def emit(payload: object) -> None:
            for listener in listeners:
                await listener(payload)

        return emit

    gathered = _listeners(10)
    return {
        "one": _rate(emitting(_listeners(1)), place.size),
        "ten": _rate(emitting(_listeners(10)), place.size // 4),
        "together": _rate(lambda payload: asyncio.gather(*(each(payload) for each in gathered)), place.size // 50),
    }


def _listeners(number: int) -> list[Listener]:
    def listener() -> Listener:
        async def listen(payload: object) -> None:
            pass

        return listen

    return [listener() for _ in range(number)]


def _rate(emit: Emit, emits: int) -> list[float]:
    async def emit_all() -> float:
        payload = "an order"
        began = perf_counter()
        for _ in range(emits):
            await emit(payload)
        return emits / (perf_counter() - began)

    return [asyncio.run(emit_all())]


QUESTION = Question(
    contenders={"tidings": tidings, "blinker": blinker, "loop": loop},
    rows=[
        Row("emit_async, 1 listener", figure="one", against="blinker", at_least=2),
        Row("the same", figure="one", against="loop"),
        Row("emit_async, 10 listeners", figure="ten", against="blinker", at_least=2),
        Row("the same", figure="ten", against="loop"),
        Row("emit_async together, 10 listeners", figure="together", against="loop"),
    ],
    size=500_000,
    quick_size=10_000,
)
