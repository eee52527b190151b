"""Floor 8. The test kit: a user's application in a test, what may go wrong with it, and the promises of the seams.

The names below are loaded when they are first used: pytest loads its plugin from here whether or not a test uses it.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from tidings.clock import ManualClock
    from tidings.testing.application import TestApp
    from tidings.testing.checker import History, Report, check
    from tidings.testing.events import Events
    from tidings.testing.faults import Faults, InjectedFault, Nth
    from tidings.testing.outcomes import Handled, Held, SetAside, UnexpectedDeadLetters
    from tidings.testing.quiet import NotSettled

__all__ = [
    "Events",
    "Faults",
    "Handled",
    "Held",
    "History",
    "InjectedFault",
    "ManualClock",
    "NotSettled",
    "Nth",
    "Report",
    "SetAside",
    "TestApp",
    "UnexpectedDeadLetters",
    "check",
]

_HOMES = {
    "tidings.clock": ("ManualClock",),
    "tidings.testing.application": ("TestApp",),
    "tidings.testing.checker": ("History", "Report", "check"),
    "tidings.testing.events": ("Events",),
    "tidings.testing.faults": ("Faults", "InjectedFault", "Nth"),
    "tidings.testing.outcomes": ("Handled", "Held", "SetAside", "UnexpectedDeadLetters"),
    "tidings.testing.quiet": ("NotSettled",),
}


def __getattr__(name: str) -> typing.Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(home), name)
            return value
    raise AttributeError(f"module 'tidings.testing' has no attribute {name!r}")
