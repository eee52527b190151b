"""One process, one event, functions that listen: what does calling them through an emitter cost?"""

from collections.abc import Callable
from time import perf_counter

from benchmarks.harness import Place, Question, Row, Samples

Listener = Callable[[object], None]


def tidings(place: Place) -> Samples:
    """`emitter.emit(name, payload)`."""
    from tidings.emitter import Emitter

    def emitting(listeners: list[Listener]) -> Callable[..., object]:
        emitter = Emitter()
        for listener in listeners:
            emitter.on("order:created", listener)
        return emitter.emit

    return _rates(place, emitting)


def pyee(place: Place) -> Samples:
    """The same with pyee, which stops at the first failure and has no patterns."""
    from pyee import EventEmitter

    def emitting(listeners: list[Listener]) -> Callable[..., object]:
        emitter = EventEmitter()
        for listener in listeners:
            emitter.on("order:created", listener)
        return emitter.emit

    return _rates(place, emitting)


def loop(place: Place) -> Samples:
    """What any emitter has to do: find the list, copy it, call each within `try`."""

    def emitting(listeners: list[Listener]) -> Callable[..., object]:
        by_name = {"order:created": listeners}

        def emit(name: str, payload: object) -> None:
            for listener in list(by_name[name]):
                try:
                    listener(payload)
                except Exception:
                    raise

        return emit

    return _rates(place, emitting)


def _rates(place: Place, emitting: Callable[[list[Listener]], Callable[..., object]]) -> Samples:
    return {
        "one": [_rate(emitting(_listeners(1)), place.size)],
        "ten": [_rate(emitting(_listeners(10)), place.size // 4)],
    }


def _listeners(number: int) -> list[Listener]:
    def listener() -> Listener:
        def listen(payload: object) -> None:
            pass

        return listen

    return [listener() for _ in range(number)]  # ten functions, not one ten times: pyee would keep only one


def _rate(emit: Callable[..., object], emits: int) -> float:
    payload = {"order_id": 42}
    began = perf_counter()
    for _ in range(emits):
        emit("order:created", payload)
    return emits / (perf_counter() - began)


QUESTION = Question(
    contenders={"tidings": tidings, "pyee": pyee, "loop": loop},
    rows=[
        Row("emit, 1 listener", figure="one", against="pyee", at_least=2.5),
        Row("the same", figure="one", against="loop", at_least=0.4),
        Row("emit, 10 listeners", figure="ten", against="pyee", at_least=2.5),
        Row("the same", figure="ten", against="loop", at_least=0.4),
    ],
    size=1_000_000,
    quick_size=10_000,
)
