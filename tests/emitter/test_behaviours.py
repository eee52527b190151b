"""The 102 behaviours of `behaviours.json`: run as they are, written out by hand, or differed from for a reason."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.emitter.script import Script
from tidings.emitter import Emitter

BEHAVIOURS: dict[str, Any] = {
    each["id"]: each
    for each in json.loads(Path(__file__).with_name("behaviours.json").read_text("utf-8"))["behaviours"]
}

# Where tidings does otherwise than the libraries these were gathered from, and why. The test of that name shows it.
DIFFERENCES = {
    "listener-raise-propagates": (
        "Node stops at the first failure. Listeners do not know of each other, so one must not silence the rest: all"
        " run, then what no `error` listener took is raised"
    ),
    "error-not-reached-from-sync-raise": (
        "Node's `error` listeners hear of rejections only. One place for failures, however the listener was written"
    ),
    "chain": (
        "the listener limit is an attribute, not a method, so it does not chain; used as a decorator, `on` gives the"
        " function back"
    ),
    "wild-many": "no `many`: a listener that counts takes itself off, and `once` is the case that is really needed",
    "wild-any": "no `on_any`: the pattern `**` hears everything; as every listener it gets the arguments, not the name",
    "wild-emit-side-wildcard": (
        "EventEmitter2 takes a `*` in what is emitted as a pattern. Here any string is a name, and no name widens who"
        " hears it"
    ),
}
SCRIPTED = [name for name, each in BEHAVIOURS.items() if "script" in each and name not in DIFFERENCES]
BY_HAND = [name for name in BEHAVIOURS if name not in SCRIPTED]


@pytest.mark.parametrize("name", SCRIPTED)
async def test_behaves(name: str) -> None:
    script = BEHAVIOURS[name]["script"]

    await Script(script["listeners"]).run(script["steps"])


@pytest.mark.parametrize("name", BY_HAND)
def test_a_behaviour_that_is_not_run_as_a_script_has_a_test_of_its_own(name: str) -> None:
    assert f"test_{name.replace('-', '_')}" in globals()


def test_there_are_102_behaviours_and_every_difference_is_from_one_of_them() -> None:
    assert len(BEHAVIOURS) == 102
    assert set(DIFFERENCES) <= set(BEHAVIOURS)


class Calls(list[Any]):
    """What listeners were called with."""

    def listener(self, letter: str, *, fails: bool = False) -> Any:
        def listen(*args: Any) -> None:
            self.append((letter, *args))
            if fails:
                raise RuntimeError(letter)

        return listen


def test_chain() -> None:
    calls = Calls()
    emitter = Emitter()

    chained = emitter.on("foo", calls.listener("A")).once("foo", print).off("foo", print).off_all("bar")

    @emitter.on("foo")
    def decorated() -> None:
        calls.append("decorated")

    emitter.max_listeners = 20

    assert chained is emitter
    assert decorated.__name__ == "decorated"
    assert emitter.emit("foo")
    assert calls == [("A",), "decorated"]


def test_two_emitters_isolated() -> None:
    class Shop(Emitter):
        pass

    first, second = Shop(), Shop()

    first.on("foo", print)

    assert (first.count("foo"), second.count("foo"), Emitter().count("foo")) == (1, 0, 0)


def test_once_direct_call_keeps() -> None:
    calls = Calls()
    emitter = Emitter()

    @emitter.once("foo")
    def greet(whom: str) -> str:
        """Greets."""
        calls.append(whom)
        return whom

    direct = greet("directly")
    emitter.emit("foo", "by event")
    emitter.emit("foo", "again")

    assert (direct, greet.__name__, greet.__doc__) == ("directly", "greet", "Greets.")
    assert calls == ["directly", "by event"]


def test_listener_raise_propagates() -> None:
    calls = Calls()
    emitter = Emitter()
    emitter.on("foo", calls.listener("A", fails=True)).on("foo", calls.listener("B"))

    with pytest.raises(RuntimeError, match="A"):
        emitter.emit("foo")
    emitter.on("foo", calls.listener("C", fails=True))
    with pytest.raises(ExceptionGroup) as raised:
        emitter.emit("foo")

    assert [str(each) for each in raised.value.exceptions] == ["A", "C"]
    assert calls == [("A",), ("B",), ("A",), ("B",), ("C",)]
    assert emitter.count("foo") == 3


def test_error_not_reached_from_sync_raise() -> None:
    calls = Calls()
    emitter = Emitter()
    emitter.on("foo", calls.listener("A", fails=True)).on("foo", calls.listener("B"))
    emitter.on("error", lambda error: calls.append(("H", str(error))))

    assert emitter.emit("foo")

    assert calls == [("A",), ("B",), ("H", "A")]


async def test_async_rejection_in_error_handler() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    calls = Calls()
    emitter = Emitter()

    @emitter.on("foo")
    async def fail() -> None:
        raise RuntimeError("first")

    @emitter.on("error")
    async def fail_again(error: Exception) -> None:
        calls.append(str(error))
        raise RuntimeError("second")

    emitter.emit("foo")
    await emitter.idle()

    assert calls == ["first"]
    assert [str(context["exception"]) for context in reported] == ["second"]
    assert "fail_again" in reported[0]["message"]


async def test_async_cancelled_is_not_error() -> None:
    calls = Calls()
    emitter = Emitter()
    emitter.on("error", calls.listener("H"))

    @emitter.on("foo")
    async def give_up() -> None:
        raise asyncio.CancelledError

    emitter.emit("foo")
    await emitter.idle()
    await emitter.emit_async("foo")

    assert calls == []


async def test_async_pending_tracked() -> None:
    calls = Calls()
    emitter = Emitter()
    go = asyncio.Event()

    @emitter.on("foo")
    async def wait() -> None:
        try:
            await go.wait()
        except asyncio.CancelledError:
            calls.append("cancelled")
            raise

    emitter.emit("foo")
    assert emitter.pending == 1
    go.set()
    await emitter.idle()
    assert emitter.pending == 0

    go.clear()
    emitter.emit("foo")
    await asyncio.sleep(0)
    await emitter.idle(cancel=True)
    assert emitter.pending == 0
    assert calls == ["cancelled"]


def test_wild_off_name_not_pattern() -> None:
    emitter = Emitter()
    emitter.on("a.*", print)

    emitter.off("a.b", print)

    assert emitter.listeners("a.*") == [print]


def test_wild_many() -> None:
    calls = Calls()
    emitter = Emitter()

    @emitter.on("t.x")
    def three_times() -> None:
        calls.append("A")
        if len(calls) == 3:
            emitter.off("t.x", three_times)

    for _ in range(5):
        emitter.emit("t.x")

    assert calls == ["A", "A", "A"]
    assert emitter.count("t.x") == 0


def test_wild_any() -> None:
    calls = Calls()
    emitter = Emitter()
    emitter.on("**", calls.listener("A"))

    emitter.emit("a.b", 1)
    emitter.emit("c")

    assert calls == [("A", 1), ("A",)]


def test_wild_emit_side_wildcard() -> None:
    calls = Calls()
    emitter = Emitter()
    emitter.on("t.a", calls.listener("A")).on("t.*", calls.listener("B"))

    emitter.emit("t.*")

    assert calls == [("B",)], "as any text after the dot, the star is heard by the pattern, once"
