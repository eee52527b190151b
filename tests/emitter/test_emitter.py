"""Listening and emitting: names, order, arguments, failures, the emitter's own events, the limit."""

import asyncio
import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.emitter import Emitter
from tidings.errors import UnhandledError


def failing(message: str) -> Any:
    def fail(*_: Any) -> None:
        raise RuntimeError(message)

    return fail


def test_the_first_lines_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    emitter = Emitter()

    @emitter.on("order:*")
    def show(order: dict[str, int]) -> None:
        print("new order", order["id"])

    emitter.emit("order:created", {"id": 42})

    assert capsys.readouterr().out == "new order 42\n"


@given(st.text())
def test_any_string_is_a_name(name: str) -> None:
    calls: list[int] = []
    emitter = Emitter()
    emitter.on(name, calls.append)

    assert emitter.emit(name, 1)

    assert calls == [1]
    assert emitter.names() == [name]


def test_listeners_by_name_and_by_pattern_are_called_in_the_order_they_came() -> None:
    calls: list[str] = []
    emitter = Emitter()
    for place, name in enumerate(["order:*", "order:created", "**", "order:created"]):
        emitter.on(name, lambda place=place: calls.append(str(place)))
    emitter.on("*.created", lambda: calls.append("first"), prepend=True)

    emitter.emit("order:created")

    assert calls == ["first", "0", "1", "2", "3"]


def test_named_arguments_reach_every_listener() -> None:
    calls: list[Any] = []
    emitter = Emitter()
    emitter.on("foo", lambda *args, **named: calls.append((args, named)))
    emitter.once("foo", lambda first, second: calls.append((first, second)))

    emitter.emit("foo", 1, second=2)

    assert calls == [((1,), {"second": 2}), (1, 2)]


def test_a_decorator_without_a_name_is_told_how_to_write_it() -> None:
    emitter = Emitter()

    with pytest.raises(TypeError, match=r'@emitter\.on\("name"\)'):

        @emitter.on  # type: ignore[call-overload]  # the mistake under test
        def listen() -> None: ...


@pytest.mark.parametrize("pattern", ["*", "**", "**.*", "error.**", "*:emitter:*"])
def test_patterns_hear_neither_errors_nor_the_emitters_own_events(pattern: str) -> None:
    heard: list[Any] = []
    emitter = Emitter()
    emitter.on(pattern, lambda *args: heard.append(args))

    emitter.on("foo", print).off("foo", print)
    with pytest.raises(RuntimeError, match="boom"):
        emitter.emit("error", RuntimeError("boom"))

    assert heard == []


def test_off_takes_the_latest_in_time_also_when_it_was_put_in_front() -> None:
    emitter = Emitter()
    emitter.on("foo", print).on("foo", repr).on("foo", print, prepend=True)

    emitter.off("foo", print)

    assert emitter.listeners("foo") == [print, repr]


def test_off_takes_another_when_the_latest_goes_meanwhile() -> None:
    class Hasty:
        is_first = True

        def __call__(self) -> None: ...

        def __eq__(self, other: object) -> bool:
            if self.is_first:
                self.is_first = False
                emitter.off("foo", self)
            return self is other

        __hash__ = object.__hash__

    emitter = Emitter()
    hasty = Hasty()
    emitter.on("foo", hasty).on("foo", hasty)

    emitter.off("foo", hasty)

    assert emitter.names() == []


def test_bound_methods_are_recognised_by_their_object() -> None:
    class Shop:
        def hear(self) -> None: ...

    ours, theirs = Shop(), Shop()
    emitter = Emitter()
    emitter.on("foo", ours.hear).on("foo", theirs.hear)

    emitter.off("foo", ours.hear)

    assert emitter.listeners("foo") == [theirs.hear]


def test_a_failing_error_listener_is_raised_with_what_it_failed_on() -> None:
    emitter = Emitter()
    emitter.on("foo", failing("first")).on("error", failing("second"))

    with pytest.raises(RuntimeError, match="second") as raised:
        emitter.emit("foo")

    assert str(raised.value.__context__) == "first"


def test_the_monitor_sees_a_listeners_failure_that_emit_raises() -> None:
    seen: list[str] = []
    emitter = Emitter()
    emitter.on(Emitter.ERROR_MONITOR, lambda error: seen.append(str(error)))
    emitter.on("foo", failing("boom"))

    with pytest.raises(RuntimeError, match="boom"):
        emitter.emit("foo")

    assert seen == ["boom"]


def test_a_raised_failure_shows_where_it_came_from_and_no_detour() -> None:
    emitter = Emitter()
    emitter.on("foo", failing("boom")).on(Emitter.ERROR_MONITOR, repr)

    with pytest.raises(RuntimeError) as raised:
        emitter.emit("foo")

    assert "raise_unhandled" not in [entry.name for entry in raised.traceback]
    assert raised.traceback[-1].name == "fail"


def test_an_error_that_is_no_exception_is_kept_in_the_one_that_is_raised() -> None:
    with pytest.raises(UnhandledError, match="kaput") as raised:
        Emitter().emit("error", {"state": "kaput"})

    assert raised.value.value == {"state": "kaput"}


def test_an_interrupt_is_not_a_failure_to_be_collected() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    calls: list[str] = []
    emitter = Emitter()
    emitter.on("error", calls.append).on("foo", interrupt).on("foo", lambda: calls.append("next"))

    with pytest.raises(KeyboardInterrupt):
        emitter.emit("foo")

    assert calls == []


def test_a_listener_that_a_new_listener_event_refuses_is_not_added() -> None:
    emitter = Emitter()
    emitter.on(Emitter.NEW_LISTENER, failing("not here"))

    with pytest.raises(RuntimeError, match="not here"):
        emitter.on("foo", print)

    assert emitter.count("foo") == 0


async def test_a_once_listener_runs_although_one_who_hears_of_its_removal_fails() -> None:
    calls: list[str] = []

    async def later() -> None:
        calls.append("later")

    emitter = Emitter()
    emitter.on(Emitter.LISTENER_REMOVED, failing("R"))
    emitter.once("foo", lambda: calls.append("now")).once("foo", later)

    with pytest.raises(ExceptionGroup) as raised:
        await emitter.emit_async("foo")

    assert calls == ["now", "later"]
    assert [str(each) for each in raised.value.exceptions] == ["R", "R"]


def test_everything_is_taken_off_although_those_who_hear_of_it_fail() -> None:
    emitter = Emitter()
    emitter.on("foo", print).on("foo", repr).on("bar", print).on(Emitter.LISTENER_REMOVED, failing("R"))

    with pytest.raises(ExceptionGroup) as raised:
        emitter.off_all()

    assert len(raised.value.exceptions) == 3
    assert emitter.names() == []


@pytest.mark.parametrize("listen", [lambda it: it.on("foo", print), lambda it: it.once("foo")(print)])
def test_the_warning_points_to_the_line_that_listens(listen: Callable[[Emitter], object]) -> None:
    emitter = Emitter(max_listeners=1)
    emitter.on("foo", print)

    with pytest.warns(RuntimeWarning, match=r"2 listeners to 'foo' in one Emitter, where max_listeners is 1") as warned:
        listen(emitter)

    assert warned[0].filename == __file__


def test_a_name_that_was_emptied_is_warned_of_again() -> None:
    emitter = Emitter(max_listeners=1)

    for _ in range(2):
        with pytest.warns(RuntimeWarning):
            emitter.on("foo", print).on("foo", print)
        emitter.off_all("foo")


def test_weak_listeners_and_waits_bring_no_warning() -> None:
    emitter = Emitter(max_listeners=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            emitter.on("foo", failing, weak=True)
        waiting = [emitter.iterate("foo") for _ in range(5)]

    assert len(waiting) == 5


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("max_listeners", -1, ValueError),
        ("max_listeners", 1.5, TypeError),
        ("max_pending", 0, ValueError),
        ("max_pending", "many", TypeError),
    ],
)
def test_limits_are_whole_numbers_of_some_size(option: str, value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=option):
        Emitter(**{option: value})


def test_a_failure_that_was_taken_keeps_nothing_alive() -> None:
    class Order: ...

    emitter = Emitter()
    emitter.on("foo", failing("boom")).on("error", repr)
    order = Order()
    gone = weakref.ref(order)
    gc.disable()
    try:
        emitter.emit("foo", order)
        del order

        assert gone() is None
    finally:
        gc.enable()


async def test_an_emitter_that_nobody_holds_is_freed() -> None:
    emitter = Emitter()
    emitter.once("foo", print).on("bar", asyncio.sleep)
    emitter.emit("bar", 0)
    await emitter.idle()
    gone = weakref.ref(emitter)

    del emitter
    gc.collect()

    assert gone() is None
