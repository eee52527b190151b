"""What a fork must not keep: an flock belongs to the open file, which parent and child share.

A child that lived on with the parent's descriptors would keep its locks when the parent dies, and the dead
would look alive.
"""

import os
import weakref
from typing import Protocol


class Holding(Protocol):
    """What holds locks of this process."""

    def let_go(self) -> None:
        """In a child: close the descriptors. The parent's own, and its locks, stay."""


_holding: "weakref.WeakSet[Holding]" = weakref.WeakSet()


def stays_with_parent(one: Holding) -> None:
    """Have a fork let go of what `one` holds."""
    _holding.add(one)


def _let_go() -> None:
    for one in list(_holding):
        one.let_go()
    _holding.clear()


os.register_at_fork(after_in_child=_let_go)
