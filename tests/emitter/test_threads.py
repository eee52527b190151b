"""Emitting from several threads while listeners come and go."""

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tidings.emitter import Emitter


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let threads alternate as often as they can, so that races show."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@contextmanager
def running(*works: Callable[[], object]) -> Iterator[None]:
    """Repeat each work on a thread of its own until the block ends; what one raises is raised here."""
    is_over = threading.Event()
    raised: list[BaseException] = []

    def repeat(work: Callable[[], object]) -> None:
        try:
            while not is_over.is_set():
                work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=repeat, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join(30)
    if raised:
        raise raised[0]


def test_who_stays_hears_everything_while_others_come_and_go(trials: Callable[[int], int]) -> None:
    emitter = Emitter(max_listeners=0)
    heard = itertools.count()
    emitter.on("foo:bar", lambda: next(heard))

    def come_and_go() -> None:
        emitter.on("foo:bar", repr_nothing)
        emitter.once("foo:*", repr_nothing)
        emitter.off("foo:bar", repr_nothing)
        emitter.off_all("foo:*")

    emitted = 0
    with running(come_and_go, come_and_go, come_and_go):
        for _ in range(trials(3000)):
            assert emitter.emit("foo:bar")
            emitted += 1

    assert next(heard) == emitted
    assert emitter.count("foo:bar") == 1


def test_a_change_counts_for_every_emission_that_begins_after_it(trials: Callable[[int], int]) -> None:
    emitter = Emitter()
    me = threading.get_ident()
    calls: list[str] = []

    def listen() -> None:
        if threading.get_ident() == me:
            calls.append("mine")

    def emit() -> bool:
        return emitter.emit("foo:bar")

    with running(emit, emit, emit):
        for _ in range(trials(1000)):
            calls.clear()
            emitter.on("foo:*", listen)
            emitter.emit("foo:bar")
            emitter.off("foo:*", listen)
            emitter.emit("foo:bar")

            assert calls == ["mine"]


def test_of_many_emissions_at_once_one_gets_the_once_listener(trials: Callable[[int], int]) -> None:
    emitter = Emitter(max_listeners=0)
    ran: list[int] = []

    def emit() -> bool:
        return emitter.emit("foo")

    expected = trials(1000)
    with running(emit, emit, emit):
        for number in range(expected):
            emitter.once("foo", lambda number=number: ran.append(number))
    emitter.emit("foo")

    assert sorted(ran) == list(range(expected))
    assert emitter.names() == []


def test_off_takes_one_for_each_call(trials: Callable[[int], int]) -> None:
    emitter = Emitter(max_listeners=0)

    def on_and_off() -> None:
        emitter.on("foo", repr_nothing)
        emitter.off("foo", repr_nothing)

    with running(on_and_off, on_and_off):
        for _ in range(trials(1000)):
            on_and_off()

    assert emitter.names() == []


def repr_nothing() -> None:
    """Listens, and does nothing."""
