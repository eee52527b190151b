"""Coroutine listeners: tasks under `emit`, in order or together under `emit_async`; the loop, the bound, the end."""

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tidings.emitter import Emitter
from tidings.errors import NoEventLoop, TooManyPending


async def pause() -> None:
    await asyncio.sleep(0)


def test_without_a_loop_the_error_names_the_listener_and_the_others_run() -> None:
    calls: list[str] = []
    emitter = Emitter()
    emitter.on("foo", pause).on("foo", lambda: calls.append("B")).on("error", lambda error: calls.append("error"))

    with pytest.raises(NoEventLoop, match=r"test_background\.pause could not hear 'foo'"):
        emitter.emit("foo")

    assert calls == ["B"]


async def test_a_thread_without_a_loop_uses_the_one_the_emitter_was_first_used_in() -> None:
    ran_in: list[threading.Thread] = []
    emitter = Emitter()

    @emitter.on("foo")
    async def listen() -> None:
        ran_in.append(threading.current_thread())

    await asyncio.to_thread(emitter.emit, "foo")
    await emitter.idle()

    assert ran_in == [threading.current_thread()]


async def test_any_async_use_binds_the_loop() -> None:
    uses: list[Callable[[Emitter], Awaitable[object]]] = [
        lambda emitter: emitter.emit_async("bar"),
        lambda emitter: emitter.idle(),
        lambda emitter: emitter.iterate("bar").aclose(),
    ]
    for use in uses:
        emitter = Emitter()
        await asyncio.to_thread(emitter.on, "foo", pause)
        with pytest.raises(NoEventLoop):
            await asyncio.to_thread(emitter.emit, "foo")

        await use(emitter)

        assert await asyncio.to_thread(emitter.emit, "foo")
        await emitter.idle()


def test_a_loop_that_was_closed_is_followed_by_the_next() -> None:
    calls: list[str] = []
    emitter = Emitter()

    @emitter.on("foo")
    async def listen() -> None:
        await asyncio.sleep(0)
        calls.append("done")

    async def use(*, to_the_end: bool) -> None:
        emitter.emit("foo")
        if to_the_end:
            await emitter.idle()

    asyncio.run(use(to_the_end=False))
    with pytest.raises(NoEventLoop):
        emitter.emit("foo")
    asyncio.run(use(to_the_end=True))

    assert calls == ["done"]
    assert emitter.pending == 0


def test_what_a_closed_loop_never_began_is_not_pending_in_the_next() -> None:
    emitter = Emitter()
    emitter.on("foo", pause)
    first = asyncio.new_event_loop()
    first.run_until_complete(emitter.emit_async("foo"))
    emitter.emit("foo")
    assert emitter.pending == 1

    first.close()
    asyncio.run(asyncio.wait_for(emitter.idle(), 5))

    assert emitter.pending == 0


async def test_more_than_max_pending_are_refused_and_emit_says_so() -> None:
    errors: list[Exception] = []
    go = asyncio.Event()
    emitter = Emitter(max_pending=2)
    emitter.on("error", errors.append)

    @emitter.on("foo")
    async def listen() -> None:
        await go.wait()

    emitter.emit("foo")
    emitter.emit("foo")
    with pytest.raises(TooManyPending, match=r"listen could not hear 'foo': 2 coroutine listeners are running already"):
        emitter.emit("foo")
    assert (emitter.pending, errors) == (2, [])

    go.set()
    await emitter.idle()
    assert emitter.emit("foo")
    await emitter.idle()


async def test_threads_together_do_not_get_past_max_pending() -> None:
    go, most, refused = asyncio.Event(), 0, 0
    emitter = Emitter(max_pending=5)

    @emitter.on("foo")
    async def listen() -> None:
        nonlocal most
        most = max(most, emitter.pending)
        await go.wait()

    def emit_often() -> None:
        nonlocal refused
        for _ in range(20):
            try:
                emitter.emit("foo")
            except TooManyPending:
                refused += 1

    await asyncio.gather(*(asyncio.to_thread(emit_often) for _ in range(8)))
    running = emitter.pending
    go.set()
    await emitter.idle()

    assert most == running == 5
    assert refused >= 8 * 20 - 5 - 8


class Shop:
    def __init__(self) -> None:
        self.calls: list[str] = []

    async def method(self, word: str) -> None:
        self.calls.append(word)

    async def __call__(self, word: str) -> None:
        self.calls.append(word)

    def task(self, word: str) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.method(word))


@pytest.mark.parametrize("form", ["method", "object", "partial", "lambda", "task"])
async def test_whatever_returns_work_is_a_coroutine_listener(form: str) -> None:
    shop = Shop()
    forms: dict[str, Callable[..., Any]] = {
        "method": shop.method,
        "object": shop,
        "partial": partial(shop.method),
        "lambda": lambda word: shop.method(word),
        "task": shop.task,
    }
    emitter = Emitter()
    emitter.on("foo", forms[form])

    emitter.emit("foo", "emit")
    await emitter.idle()
    await emitter.emit_async("foo", "in order")
    await emitter.emit_async("foo", "together", concurrent=True)

    assert shop.calls == ["emit", "in order", "together"]


async def test_what_a_listener_returns_otherwise_does_not_matter() -> None:
    emitter = Emitter()
    emitter.on("foo", lambda: 42).on("foo", lambda: "text")

    assert emitter.emit("foo")
    assert await emitter.emit_async("foo")


def recording(calls: list[str], name: str, *, fails: bool = False) -> Callable[[], Awaitable[None]]:
    async def listen() -> None:
        calls.append(f"{name} begins")
        await asyncio.sleep(0)
        calls.append(f"{name} ends")
        if fails:
            raise RuntimeError(name)

    return listen


async def test_emit_async_awaits_one_after_the_other() -> None:
    calls: list[str] = []
    emitter = Emitter()
    emitter.on("foo", recording(calls, "A")).on("foo", lambda: calls.append("B")).on("foo", recording(calls, "C"))

    assert await emitter.emit_async("foo")
    assert not await emitter.emit_async("bar")

    assert calls == ["A begins", "A ends", "B", "C begins", "C ends"]


async def test_emit_async_awaits_all_together_when_asked_to() -> None:
    calls: list[str] = []
    emitter = Emitter()
    emitter.on("foo", recording(calls, "A")).on("foo", recording(calls, "B"))

    await emitter.emit_async("foo", concurrent=True)

    assert calls == ["A begins", "B begins", "A ends", "B ends"]


@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_failing_coroutine_stops_none_of_the_others(concurrent: bool) -> None:
    calls: list[str] = []
    emitter = Emitter()
    for name in "ABC":
        emitter.on("foo", recording(calls, name, fails=name != "B"))

    with pytest.raises(ExceptionGroup) as raised:
        await emitter.emit_async("foo", concurrent=concurrent)

    assert [str(each) for each in raised.value.exceptions] == ["A", "C"]
    assert {"A ends", "B ends", "C ends"} <= set(calls)


async def test_emit_async_awaits_the_error_listeners() -> None:
    taken: list[str] = []
    emitter = Emitter()
    emitter.on("foo", recording([], "A", fails=True))

    @emitter.on("error")
    async def take(error: Exception) -> None:
        await asyncio.sleep(0)
        taken.append(str(error))

    assert await emitter.emit_async("foo")

    assert taken == ["A"]
    assert emitter.pending == 0


@pytest.mark.parametrize("concurrent", [False, True])
async def test_cancelling_emit_async_cancels_the_listener(concurrent: bool) -> None:
    calls: list[str] = []
    has_begun = asyncio.Event()
    emitter = Emitter()

    @emitter.on("foo")
    async def wait() -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            calls.append("cancelled")

    emitter.on("error", lambda error: calls.append("error"))
    emission = asyncio.create_task(emitter.emit_async("foo", concurrent=concurrent))
    await has_begun.wait()
    emission.cancel()
    with pytest.raises(asyncio.CancelledError):
        await emission

    assert calls == ["cancelled"]


async def test_a_failure_nobody_takes_is_told_to_the_loop() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    emitter = Emitter()
    emitter.on("foo", recording([], "A", fails=True))

    emitter.emit("foo")
    await emitter.idle()

    assert [str(context["exception"]) for context in told] == ["A"]
    assert "recording.<locals>.listen failed with 'foo'" in told[0]["message"]


async def test_idle_waits_for_what_listeners_start_in_their_turn() -> None:
    calls: list[str] = []
    emitter = Emitter()
    emitter.on("foo", recording(calls, "A", fails=True)).on("error", lambda _: emitter.emit("bar"))
    emitter.on("bar", recording(calls, "B"))

    emitter.emit("foo")
    await emitter.idle()

    assert calls[-1] == "B ends"


async def test_a_listener_that_waits_for_idle_does_not_wait_for_itself() -> None:
    calls: list[str] = []
    emitter = Emitter()

    @emitter.on("foo")
    async def wait() -> None:
        await emitter.idle()
        calls.append("last")

    emitter.on("foo", recording(calls, "A"))

    emitter.emit("foo")
    await asyncio.wait_for(emitter.idle(), 5)

    assert calls == ["A begins", "A ends", "last"]


async def test_another_loop_can_wait_for_idle_and_cancel() -> None:
    go = asyncio.Event()
    emitter = Emitter()
    emitter.on("foo", go.wait)
    emitter.emit("foo")

    await asyncio.to_thread(asyncio.run, emitter.idle(cancel=True))

    assert emitter.pending == 0


async def test_a_task_sees_the_context_it_was_emitted_in() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    seen: list[str] = []
    emitter = Emitter()

    @emitter.on("foo")
    async def listen() -> None:
        seen.append(user.get())

    user.set("loop")
    emitter.emit("foo")
    user.set("thread")
    await asyncio.to_thread(emitter.emit, "foo")
    user.set("later")
    await emitter.idle()

    assert seen == ["loop", "thread"]


async def test_what_a_finished_listener_was_given_is_freed() -> None:
    class Order: ...

    emitter = Emitter()

    @emitter.on("foo")
    async def listen(order: Order) -> None:
        await asyncio.sleep(0)

    order = Order()
    gone = weakref.ref(order)
    emitter.emit("foo", order)
    del order
    await emitter.idle()
    gc.collect()

    assert gone() is None
