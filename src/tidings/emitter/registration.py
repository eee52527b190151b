"""One listener under one name: how it is held, how it is called, and what it is called in messages."""

import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from types import CoroutineType, MethodType
from typing import Any, TypeGuard

Listener = Callable[..., object]  # what it takes is between it and those who emit


class Registration:
    """A listener under a name. If it is `once` or weak, it is called itself, looks, and then calls its listener.

    `retire` makes it `once`: it ends the registration, and says whether this is the first time. `died` makes it weak,
    and is called when nothing else holds the listener any more.
    """

    __slots__ = ("_reference", "_retire", "_strong", "added", "has_fired", "name", "order")

    def __init__(
        self,
        name: str,
        listener: Listener,
        added: int,
        *,
        prepend: bool = False,
        retire: "Callable[[Registration], bool] | None" = None,
        died: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.added = added
        self.order = -added if prepend else added  # among all that one event is heard by
        self.has_fired = False
        self._retire = retire
        self._reference = None if died is None else _weak_reference(listener, died)
        self._strong = listener if died is None else None

    @property
    def listener(self) -> Listener | None:
        """As it was handed in; None when it was weak and is gone."""
        return self._strong if self._reference is None else self._reference()

    @property
    def is_weak(self) -> bool:
        """Can the listener go without being taken off?"""
        return self._reference is not None

    @property
    def hear(self) -> Listener:
        """What `emit` calls: the listener itself where nothing has to be looked at first, which is nearly always."""
        return self if self._strong is None or self._retire is not None else self._strong

    def __call__(self, *args: Any, **named: Any) -> object:
        listener = self.listener
        if listener is None:
            return None
        try:
            if self._retire is not None and not self._retire(self):
                return None
        except Exception as failure:  # of one who hears of removals: it must not cost this listener its call
            return _raised_after(listener(*args, **named), failure)
        return listener(*args, **named)


def check_name(name: object) -> None:
    """Any string will do.

    Raises:
        TypeError: it is something else, as in `@emitter.on` without a name.
    """
    if not isinstance(name, str):
        raise TypeError(f'a name is text, got {name!r}: write @emitter.on("name") or emitter.on("name", listener)')


def check_listener(name: object, listener: object) -> None:
    """Anything that can be called will do.

    Raises:
        TypeError: it cannot be called, or the name is not one.
    """
    check_name(name)
    if not callable(listener):
        raise TypeError(f"{listener!r} cannot listen to {name!r}: a listener is a function or something else to call")


def is_awaitable(answer: object) -> TypeGuard[Awaitable[object]]:
    """Is what a listener returned still to be awaited? (`inspect.isawaitable` knows more, and takes far longer.)"""
    return type(answer) is CoroutineType or hasattr(type(answer), "__await__")


def describe(listener: Listener) -> str:
    """A listener's name for messages, as `shop.orders.show`."""
    while isinstance(listener, partial):
        listener = listener.func
    if isinstance(listener, Registration):
        return "a listener that is gone" if listener.listener is None else describe(listener.listener)
    name = getattr(listener, "__qualname__", None)
    return repr(listener) if name is None else f"{getattr(listener, '__module__', None) or 'builtins'}.{name}"


def _weak_reference(listener: Listener, died: Callable[[], None]) -> Callable[[], Listener | None]:
    def tell(_: object) -> None:
        died()

    return weakref.WeakMethod(listener, tell) if isinstance(listener, MethodType) else weakref.ref(listener, tell)


def _raised_after(answer: object, failure: Exception) -> object:
    if not is_awaitable(answer):
        raise failure

    async def finish() -> None:
        await answer
        raise failure

    return finish()
