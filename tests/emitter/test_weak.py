"""Weak listeners go when nothing else holds them, and leave nothing behind."""

import gc
from typing import Any

import pytest

from tidings.emitter import Emitter


class Shop:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def hear(self, *args: Any) -> None:
        self.heard.append(args)


def test_a_method_is_heard_as_long_as_its_object_lives() -> None:
    emitter = Emitter()
    shop = Shop()
    emitter.on("foo", shop.hear, weak=True)
    assert emitter.emit("foo", 1)
    assert shop.heard == [(1,)]
    assert emitter.listeners("foo") == [shop.hear]

    del shop

    assert not emitter.emit("foo", 2)
    assert (emitter.names(), emitter.count("foo"), emitter.listeners("foo")) == ([], 0, [])


def test_a_function_a_pattern_and_once_can_be_weak() -> None:
    calls: list[str] = []

    def listen() -> None:
        calls.append("once")

    emitter = Emitter()
    emitter.once("a.*", listen, weak=True)
    assert emitter.emit("a.b")
    assert not emitter.emit("a.b")
    emitter.once("a.*", listen, weak=True)

    del listen

    assert not emitter.emit("a.b")
    assert calls == ["once"]


def test_off_knows_a_weak_listener() -> None:
    emitter = Emitter()
    shop = Shop()
    emitter.on("foo", shop.hear, weak=True)

    emitter.off("foo", shop.hear)

    assert emitter.names() == []


def test_one_that_dies_amid_an_emission_is_passed_over() -> None:
    emitter = Emitter()
    shops = [Shop()]
    heard = shops[0].heard
    emitter.on("foo", lambda: shops.clear()).on("foo", shops[0].hear, weak=True)

    emitter.emit("foo")

    assert heard == []


def test_the_dead_take_no_place_after_the_next_change() -> None:
    emitter = Emitter()
    for number in range(1000):
        emitter.on(f"reply:{number}", Shop().hear, weak=True)
        emitter.on(f"reply:{number}.*", Shop().hear, weak=True)

    emitter.on("foo", print)

    assert emitter.names() == ["foo"]
    assert list(emitter._registry._by_name) == ["foo"]
    assert not emitter._registry._patterns


@pytest.mark.parametrize("weak", [False, True])
def test_an_object_that_takes_itself_off_when_collected_does_not_disturb_a_change(weak: bool) -> None:
    emitter = Emitter(max_listeners=0)
    threshold = gc.get_threshold()

    class Owner:
        def __init__(self) -> None:
            self.me = self  # a ring, which only the collector frees
            self.listener = lambda: None
            emitter.on("foo", self.listener, weak=weak)

        def __del__(self) -> None:
            emitter.off("foo", self.listener)

    gc.collect()
    try:
        for allocations in range(60):  # the collector comes at another moment of `on` each time
            gc.disable()
            Owner()
            gc.set_threshold(gc.get_count()[0] + allocations)
            gc.enable()
            emitter.on("foo", print)
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    gc.collect()

    assert emitter.listeners("foo") == [print] * 60
