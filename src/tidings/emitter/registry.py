"""Who listens to what: changed under a lock, read without one.

What a reader holds never changes: a change puts another tuple in the place of the old one and starts `heard` anew.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

from tidings.emitter.failures import raise_unhandled
from tidings.emitter.names import ERROR, ERROR_MONITOR, HEARD_BY_NAME_ONLY, Pattern, is_pattern
from tidings.emitter.registration import Listener, Registration

_REMEMBERED_NAMES: Final = 4096  # a bound, so that names made of ids cannot fill the memory

Registrations = tuple[Registration, ...]
Change = Callable[[Registrations], Registrations]


class Registry:
    """Registrations by name or pattern, in the order they were made."""

    __slots__ = ("__weakref__", "_added", "_bereft", "_by_name", "_is_changing", "_late", "_lock", "_patterns", "heard")

    def __init__(self) -> None:
        self.heard: dict[str, tuple[Listener, ...]] = {}  # event -> what it calls; begun anew at every change
        self._by_name: dict[str, Registrations] = {}
        self._patterns: dict[str, Pattern] = {}
        self._bereft: deque[str] = deque()  # names under which a weak listener has died
        self._late: deque[tuple[str, Change]] = deque()  # changes to be made, by finalizers amid one of them too
        self._is_changing = False
        self._added = count(1)
        self._lock = threading.RLock()  # a finalizer that takes a listener off can run amid a change, on its thread

    def names(self) -> list[str]:
        """Names and patterns with a listener, as they first got one."""
        return [name for name in list(self._by_name) if self.under(name)]

    def under(self, name: str) -> Registrations:
        """The registrations under exactly this name or pattern."""
        found = self._by_name.get(name, ())
        return _alive(found) if self._bereft else found

    def who_hears(self, event: str) -> tuple[Listener, ...]:
        """What an event calls, in order; remembered in `heard` until something changes."""
        heard = self.heard  # held before looking: if a change comes between, what was found is forgotten with it
        hearing = tuple(each.hear for each in self._selected_by(event))
        if event == ERROR:
            monitors = tuple(each.hear for each in self.under(ERROR_MONITOR))
            hearing = (*monitors, *(hearing or (raise_unhandled,)))
        if len(heard) >= _REMEMBERED_NAMES:
            heard.clear()
        heard[event] = hearing
        return hearing

    def add(
        self,
        name: str,
        listener: Listener,
        *,
        prepend: bool,
        retire: Callable[[Registration], bool] | None,
        weak: bool,
    ) -> None:
        """Put a listener at the end, or with `prepend` at the front."""
        died = partial(_mourn, weakref.ref(self), name) if weak else None
        with self._lock:  # so that nobody else comes between the number and the place
            new = Registration(name, listener, next(self._added), prepend=prepend, retire=retire, died=died)
            self._change(name, lambda before: (new, *before) if prepend else (*before, new))

    def remove_latest(self, name: str, listener: Listener) -> Registration | None:
        """Take off what was added last of a listener, and say what that was."""
        while True:
            found = [each for each in self.under(name) if each.listener == listener]
            latest = max(found, key=lambda each: each.added, default=None)
            if latest is None or self.remove(latest):
                return latest

    def remove(self, registration: Registration) -> bool:
        """Take one off; False when it was not there any more."""
        return registration in self._change(registration.name, partial(_without, registration))

    def remove_all(self, name: str) -> Registrations:
        """Take off all under a name, and say what they were, the one added last first."""
        before = self._change(name, lambda _: ())
        return tuple(sorted(before, key=lambda each: each.added, reverse=True))

    def claim(self, registration: Registration) -> bool:
        """Is this the one time that a `once` listener runs? Several threads may ask, and an emission inside another."""
        with self._lock:
            is_first, registration.has_fired = not registration.has_fired, True
        return is_first

    def _selected_by(self, event: str) -> Registrations:
        found = self.under(event)
        if event in HEARD_BY_NAME_ONLY:
            return found
        selecting = [text for text, pattern in list(self._patterns.items()) if text != event and pattern.matches(event)]
        if not selecting:
            return found
        both = [*found, *(each for text in selecting for each in self.under(text))]
        return tuple(sorted(both, key=lambda each: each.order))

    def _change(self, name: str, change: Change) -> Registrations:
        """Replace what is registered under a name, and give what was there before."""
        with self._lock:
            if self._is_changing:  # a finalizer, run between two steps of a change that its own thread is making
                self._late.append((name, change))
                return self.under(name)
            before = self.under(name)
            self._late.append((name, change))
            while self._late:  # asked again after each round: a finalizer may come at any moment, the last included
                self._is_changing = True
                try:
                    self._make_changes()
                finally:
                    self._is_changing = False
            self.heard = {}
        return before

    def _make_changes(self) -> None:
        while self._bereft:
            self._replace(self._bereft.popleft(), _alive)
        while self._late:
            self._replace(*self._late.popleft())

    def _replace(self, name: str, change: Change) -> None:
        after = change(self._by_name.get(name, ()))
        if not after:
            self._by_name.pop(name, None)
            self._patterns.pop(name, None)
            return
        self._by_name[name] = after
        if name not in self._patterns and is_pattern(name):
            self._patterns[name] = Pattern(name)


def _alive(registrations: Registrations) -> Registrations:
    return tuple(each for each in registrations if each.listener is not None)


def _without(registration: Registration, registrations: Registrations) -> Registrations:
    if registration not in registrations:
        return registrations
    place = registrations.index(registration)
    return registrations[:place] + registrations[place + 1 :]


def _mourn(registry: "weakref.ref[Registry]", name: str) -> None:
    # Called wherever the garbage collector happens to run, so it only leaves a note.
    survivor = registry()
    if survivor is not None:
        survivor._bereft.append(name)
        survivor.heard = {}
