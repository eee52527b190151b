"""Runs one script of `behaviours.json`: a list of steps, each an operation and its arguments."""

import asyncio
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tidings.emitter import Emitter
from tidings.emitter.iteration import Iteration

NAMES = {"$new": Emitter.NEW_LISTENER, "$removed": Emitter.LISTENER_REMOVED, "$monitor": Emitter.ERROR_MONITOR}
ERRORS: Mapping[str, type[Exception]] = {"type": TypeError, "range": ValueError}

Step = Sequence[Any]


class Script:
    """One emitter, the listeners a script names, and what they were called with."""

    def __init__(self, listeners: Mapping[str, Mapping[str, Any]]) -> None:
        self.emitter = Emitter()
        self.listeners = {letter: self._listener(letter, what) for letter, what in listeners.items()}
        self.calls: list[list[Any]] = []
        self.taken: dict[str, list[Any]] = {}
        self.waits: dict[str, asyncio.Task[Any]] = {}
        self.iterations: dict[str, Iteration] = {}
        self.broken: list[AssertionError] = []  # expectations inside listeners, whose failures the emitter may route

    async def run(self, steps: Sequence[Step]) -> None:
        with warnings.catch_warnings(record=True) as self.warnings:
            warnings.simplefilter("always")
            for step in steps:
                done = self.do(step)
                if done is not None:
                    await done
        assert not self.broken, self.broken

    def do(self, step: Step) -> Any:
        operation, *arguments = step
        return getattr(self, f"do_{operation}")(*arguments)

    def _listener(self, letter: str, what: Mapping[str, Any]) -> Callable[..., Any]:
        def listen(*args: Any) -> None:
            self.calls.append([letter, *args])
            for step in what.get("do", ()):
                try:
                    self.do(step)
                except AssertionError as error:
                    self.broken.append(error)
                    raise
            if "throws" in what:
                raise RuntimeError(what["throws"])

        async def listen_async(*args: Any) -> None:
            listen(*args)

        return listen_async if what.get("async") else listen

    def _value(self, value: Any) -> Any:
        match value:
            case {"error": message}:
                return RuntimeError(message)
            case str() if value.startswith("L:"):
                return self.listeners[value.removeprefix("L:")]
        return value

    def _shown(self, value: Any) -> Any:
        if isinstance(value, Exception):
            return {"error": str(value)}
        return next((f"L:{letter}" for letter, listener in self.listeners.items() if listener == value), value)

    def _calls(self) -> list[list[Any]]:
        calls, self.calls = self.calls, []
        return [[letter, *map(self._shown, args)] for letter, *args in calls]

    def do_on(self, name: str, letter: str | None) -> None:
        self.emitter.on(_name(name), self._given(letter))

    def do_once(self, name: str, letter: str | None) -> None:
        self.emitter.once(_name(name), self._given(letter))

    def do_prepend(self, name: str, letter: str | None) -> None:
        self.emitter.on(_name(name), self._given(letter), prepend=True)

    def do_prepend_once(self, name: str, letter: str | None) -> None:
        self.emitter.once(_name(name), self._given(letter), prepend=True)

    def do_off(self, name: str, letter: str | None) -> None:
        self.emitter.off(_name(name), self._given(letter))

    def _given(self, letter: str | None) -> Any:
        return None if letter is None else self.listeners[letter]

    def do_off_all(self, name: str | None) -> None:
        self.emitter.off_all(None if name is None else _name(name))

    def do_emit(self, name: str, args: Sequence[Any], expected: Mapping[str, Any]) -> None:
        values = [self._value(arg) for arg in args]
        if "raises" in expected:
            with pytest.raises(Exception, match=expected["raises"]):
                self.emitter.emit(_name(name), *values)
        else:
            heard = self.emitter.emit(_name(name), *values)
            assert heard is expected.get("returns", heard)

    def do_expect_calls(self, calls: Sequence[Any]) -> None:
        assert self._calls() == calls

    def do_expect_calls_any(self, calls: Sequence[Any]) -> None:
        assert sorted(self._calls(), key=str) == sorted(calls, key=str)

    def do_expect_count(self, name: str, number: int) -> None:
        assert self.emitter.count(_name(name)) == number

    def do_expect_count_of(self, name: str, letter: str, number: int) -> None:
        assert self.emitter.count(_name(name), self.listeners[letter]) == number

    def do_expect_names(self, names: Sequence[str]) -> None:
        assert self.emitter.names() == [_name(name) for name in names]

    def do_expect_listeners(self, name: str, letters: Sequence[str]) -> None:
        assert self.emitter.listeners(_name(name)) == [self.listeners[letter] for letter in letters]

    def do_take_listeners(self, kept: str, name: str) -> None:
        self.taken[kept] = self.emitter.listeners(_name(name))

    def do_expect_taken(self, kept: str, letters: Sequence[str]) -> None:
        assert self.taken[kept] == [self.listeners[letter] for letter in letters]

    def do_set_max(self, most: Any) -> None:
        self.emitter.max_listeners = most

    def do_expect_max(self, most: int) -> None:
        assert self.emitter.max_listeners == most

    def do_expect_warnings(self, number: int) -> None:
        assert len(self.warnings) == number

    def do_expect_warning_text(self, parts: Sequence[str]) -> None:
        text = str(self.warnings[-1].message)
        assert all(part in text for part in [*parts, "Emitter"])

    def do_expect_raises(self, step: Step, kind: str) -> None:
        with pytest.raises(ERRORS[kind]):
            self.do(step)

    async def do_settle(self) -> None:
        await self.emitter.idle()

    async def do_wait(self, kept: str, name: str) -> None:
        self.waits[kept] = asyncio.create_task(self.emitter.wait_for(_name(name)))

    async def do_cancel_wait(self, kept: str) -> None:
        self.waits[kept].cancel()

    async def do_expect_wait(self, kept: str, expected: Mapping[str, Any]) -> None:
        match expected:
            case {"resolves": args}:
                assert [self._shown(arg) for arg in await self.waits[kept]] == args
            case {"rejects": text}:
                with pytest.raises(Exception, match=text):
                    await self.waits[kept]
            case {"cancelled": True}:
                with pytest.raises(asyncio.CancelledError):
                    await self.waits[kept]

    def do_iterate(self, kept: str, name: str) -> None:
        self.iterations[kept] = self.emitter.iterate(_name(name))

    async def do_expect_next(self, kept: str, args: Sequence[Any]) -> None:
        assert list(await anext(self.iterations[kept])) == args

    async def do_expect_next_done(self, kept: str) -> None:
        with pytest.raises(StopAsyncIteration):
            await anext(self.iterations[kept])

    async def do_expect_next_raises(self, kept: str, text: str) -> None:
        with pytest.raises(Exception, match=text):
            await anext(self.iterations[kept])

    async def do_iter_close(self, kept: str) -> None:
        await self.iterations[kept].aclose()


def _name(name: str) -> str:
    return NAMES.get(name, name)
