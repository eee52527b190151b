"""To ReactiveX and back, with the real library."""

import asyncio
import gc
import threading
from typing import Any

import pytest
import reactivex
from reactivex import operators
from reactivex.subject import Subject

from tests.handling.stage import BOUND, OrderCreated
from tests.streams.stage import Tap, turns
from tidings import App
from tidings.errors import ConfigurationError, StreamOverflow
from tidings.integrations.reactivex import from_observable, to_observable


def double(number: int) -> int:
    return number * 2


class Seen:
    """What an observer was told."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.error: Exception | None = None
        self.over = asyncio.Event()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.over.set()

    def subscribe(self, observable: "reactivex.Observable[Any]") -> Any:
        return observable.subscribe(self.items.append, self.fail, self.over.set)

    async def until_over(self) -> "Seen":
        await asyncio.wait_for(self.over.wait(), BOUND)
        return self


async def test_an_iterator_is_observed_to_its_end() -> None:
    tap, seen = Tap(1, 2, 3), Seen()

    doubled: reactivex.Observable[int] = to_observable(tap).pipe(operators.map(double))
    seen.subscribe(doubled)
    await seen.until_over()

    assert (seen.items, seen.error, tap.closed) == ([2, 4, 6], None, 1)


async def test_its_error_is_the_observables() -> None:
    seen = Seen()

    seen.subscribe(to_observable(Tap(1, then=OSError("gone"))))
    await seen.until_over()

    assert (seen.items, str(seen.error)) == ([1], "gone")


async def test_disposing_cancels_the_reading_and_closes_the_iterator() -> None:
    tap, seen = Tap(1, open=True), Seen()
    subscription = seen.subscribe(to_observable(tap))
    await turns()

    subscription.dispose()
    await turns()

    assert (seen.items, tap.closed) == ([1], 1)
    assert not seen.over.is_set()


async def test_each_subscriber_of_a_function_has_an_iterator_of_its_own() -> None:
    one, two, numbers = Seen(), Seen(), to_observable(lambda: Tap(1, 2))

    one.subscribe(numbers)
    two.subscribe(numbers)

    assert (await one.until_over()).items == (await two.until_over()).items == [1, 2]


async def test_events_of_an_application_are_observed() -> None:
    seen = Seen()
    async with App("shop", contracts=[OrderCreated]) as app, app.listen(OrderCreated) as orders:
        seen.subscribe(to_observable(orders).pipe(operators.take(1)))
        await app.publish(OrderCreated(7))
        await seen.until_over()

    assert seen.items == [OrderCreated(7)]


async def test_an_observable_is_iterated_to_its_end() -> None:
    assert [number async for number in from_observable(reactivex.of(1, 2, 3))] == [1, 2, 3]


async def test_its_error_reaches_the_reader_after_what_came_before() -> None:
    given = from_observable(reactivex.of(1).pipe(operators.concat(reactivex.throw(OSError("gone")))))

    assert await anext(given) == 1
    with pytest.raises(OSError, match="gone"):
        await anext(given)
    with pytest.raises(StopAsyncIteration):
        await anext(given)


async def test_what_is_pushed_before_the_first_look_is_not_missed_and_closing_unsubscribes() -> None:
    pushed: Subject[int] = Subject()

    async with from_observable(pushed) as given:
        pushed.on_next(1)
        assert await anext(given) == 1
        waiting = asyncio.ensure_future(anext(given))
        await turns()
        pushed.on_next(2)
        assert await asyncio.wait_for(waiting, BOUND) == 2

    assert pushed.observers == []
    assert await anext(given, None) is None


async def test_one_that_is_dropped_unsubscribes() -> None:
    pushed: Subject[int] = Subject()
    given = from_observable(pushed)
    assert len(pushed.observers) == 1

    del given
    gc.collect()

    assert pushed.observers == []


async def test_too_many_unread_end_it_with_an_error_and_unsubscribe() -> None:
    pushed: Subject[int] = Subject()
    given = from_observable(pushed, limit=2)

    for number in range(5):
        pushed.on_next(number)

    assert pushed.observers == []
    assert [await anext(given), await anext(given)] == [0, 1]
    with pytest.raises(StreamOverflow, match="2 items were waiting"):
        await anext(given)


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", [3, 4]), ("drop_newest", [0, 1])])
async def test_too_many_unread_are_dropped_when_asked_for_and_counted(overflow: Any, kept: list[int]) -> None:
    pushed: Subject[int] = Subject()
    given = from_observable(pushed, limit=2, overflow=overflow)

    for number in range(5):
        pushed.on_next(number)
    pushed.on_completed()

    assert ([number async for number in given], given.dropped) == (kept, 3)


async def test_an_observable_may_push_from_another_thread() -> None:
    pushed: Subject[int] = Subject()
    given = from_observable(pushed, limit=100_000)

    def push() -> None:
        for number in range(10_000):
            pushed.on_next(number)
        pushed.on_completed()

    thread = threading.Thread(target=push)
    thread.start()
    async with asyncio.timeout(BOUND):
        assert [number async for number in given] == [*range(10_000)]
    await asyncio.to_thread(thread.join)


async def test_there_and_back_again() -> None:
    assert [number async for number in from_observable(to_observable(Tap(1, 2, 3)))] == [1, 2, 3]


async def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="limit=0"):
        from_observable(reactivex.of(1), limit=0)
    with pytest.raises(ConfigurationError, match="overflow='wait'"):
        from_observable(reactivex.of(1), overflow="wait")  # type: ignore[arg-type]  # what a user may write
