"""`wait_for` and `iterate`: they listen at once, from any thread, and leave nothing behind however they end."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from tidings.emitter import Emitter
from tidings.errors import FellBehind, UnhandledError


async def test_what_happens_between_the_call_and_the_await_is_not_missed() -> None:
    emitter = Emitter()
    answer = emitter.wait_for("answer:*")

    emitter.emit("answer:42", 42)

    assert await answer == (42,)
    assert emitter.names() == []


async def test_a_wait_takes_one_event_and_leaves_the_next_error_to_others() -> None:
    emitter = Emitter()
    answer = emitter.wait_for("foo")

    assert emitter.emit("foo", 1)
    assert not emitter.emit("foo", 2)
    with pytest.raises(RuntimeError, match="boom"):
        emitter.emit("error", RuntimeError("boom"))

    assert await answer == (1,)


async def test_a_wait_works_wherever_a_coroutine_does() -> None:
    emitter = Emitter()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(emitter.wait_for("foo"))
        gathered = asyncio.gather(emitter.wait_for("foo"), emitter.wait_for("foo"))
        limited = asyncio.ensure_future(asyncio.wait_for(emitter.wait_for("foo"), 5))
        await asyncio.sleep(0)
        emitter.emit("foo", 1)

    assert [task.result(), *await gathered, await limited] == [(1,)] * 4


async def test_a_wait_has_a_limit() -> None:
    emitter = Emitter()

    with pytest.raises(TimeoutError):
        await emitter.wait_for("foo", timeout=0.001)

    assert emitter.names() == []


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_cancelled_wait_leaves_nothing_at_whatever_step(turns: int) -> None:
    emitter = Emitter()
    task = asyncio.create_task(emitter.wait_for("foo"))
    for _ in range(turns):
        await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task

    assert emitter.names() == [], raised


async def test_a_wait_that_is_dropped_listens_no_more() -> None:
    emitter = Emitter()
    answer = emitter.wait_for("foo")

    answer.close()

    assert emitter.names() == []


def test_a_wait_can_be_the_whole_program() -> None:
    emitter = Emitter()
    answer = emitter.wait_for("foo", timeout=5)
    threading.Timer(0.01, emitter.emit, ["foo", 42]).start()

    assert asyncio.run(answer) == (42,)


async def test_an_error_that_is_no_exception_ends_a_wait_all_the_same() -> None:
    emitter = Emitter()
    answer = emitter.wait_for("foo")

    emitter.emit("error", "kaput")

    with pytest.raises(UnhandledError, match="kaput"):
        await answer


async def test_events_from_a_thread_arrive_in_order_and_all() -> None:
    emitter = Emitter()
    events = emitter.iterate("number:*")

    def count_up() -> None:
        for number in range(500):
            emitter.emit(f"number:{number}", number)

    emitting = asyncio.create_task(asyncio.to_thread(count_up))
    read = [(await anext(events))[0] for _ in range(500)]
    await emitting
    await events.aclose()

    assert read == list(range(500))


async def test_a_loop_that_breaks_leaves_no_listener() -> None:
    emitter = Emitter()
    emitting = asyncio.get_running_loop().call_soon
    emitting(emitter.emit, "foo", 1)

    async for (number,) in emitter.iterate("foo"):
        assert number == 1
        break
    gc.collect()

    assert emitter.names() == []


async def test_closing_ends_a_reader_that_waits() -> None:
    emitter = Emitter()

    async with emitter.iterate("foo") as events:
        reader = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)

    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(reader, 5)


async def test_what_comes_just_as_the_reader_begins_to_wait_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    emitter = Emitter()
    events = emitter.iterate("foo")
    loop = asyncio.get_running_loop()

    def emit_meanwhile() -> "asyncio.Future[Any]":
        emitter.emit("foo", 1)  # in the moment another thread might
        return asyncio.Future(loop=loop)

    monkeypatch.setattr(loop, "create_future", emit_meanwhile)

    async with asyncio.timeout(5):
        assert await anext(events) == (1,)


async def test_one_iteration_has_one_reader() -> None:
    emitter = Emitter()
    async with emitter.iterate("foo") as events:
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="another task is reading this iteration of 'foo'"):
            await anext(events)

        emitter.emit("foo", 1)
        assert await first == (1,)


async def test_a_reader_too_far_behind_is_told_after_what_it_had() -> None:
    emitter = Emitter(max_pending=2)
    events = emitter.iterate("foo")

    for number in range(4):
        emitter.emit("foo", number)

    assert [await anext(events), await anext(events)] == [(0,), (1,)]
    with pytest.raises(FellBehind, match="'foo' was ended because 2 events"):
        await anext(events)
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    assert emitter.names() == []


async def test_errors_can_be_iterated_as_anything_else() -> None:
    emitter = Emitter()
    errors = emitter.iterate("error")

    emitter.emit("error", ValueError("one"))
    emitter.emit("error", ValueError("two"))

    assert [str(error) for error in [*await anext(errors), *await anext(errors)]] == ["one", "two"]
