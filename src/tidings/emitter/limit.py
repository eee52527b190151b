"""How many listeners one name should have: more bring a warning, because usually they are a leak."""

import warnings
from collections.abc import Sequence

from tidings.emitter.registration import Registration

_UP_TO_THE_CALLER = 4  # look_at, Emitter._listen, Emitter.on or ._decorate, and who called that


class ListenerLimit:
    """Warns when a name gets more than `most` listeners, once; 0 stands for any number."""

    def __init__(self, most: int) -> None:
        self.most = at_least(0, most, "max_listeners")
        self._warned: set[str] = set()

    def look_at(self, name: str, registrations: Sequence[Registration], owner: str) -> None:
        """Count those under a name. Weak ones do not count: they go by themselves."""
        if not self.most or len(registrations) <= self.most:
            self._warned.discard(name)
            return
        found = 0 if name in self._warned else sum(not each.is_weak for each in registrations)
        if found <= self.most:
            return
        self._warned.add(name)
        warnings.warn(
            f"{found} listeners to {name!r} in one {owner}, where max_listeners is {self.most}: take off those that are"
            " done, or raise max_listeners",
            RuntimeWarning,
            stacklevel=_UP_TO_THE_CALLER,
        )


def at_least(least: int, value: int, option: str) -> int:
    """Give a number back.

    Raises:
        TypeError, ValueError: it is none, or too small.
    """
    if not isinstance(value, int):
        raise TypeError(f"{option} is a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{option} is {least} or more, got {value}")
    return value
