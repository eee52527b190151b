"""`Hold`: what keeps a reader's events from their handler while nobody is at work, and until when."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from tidings.handling.delivery import Item


class Hold(msgspec.Struct, frozen=True):
    """One reader waits with events in its hands, and goes on at a moment of the application's clock."""

    by: Literal["rate", "breaker", "batch"]
    until: float  # monotonic
    items: Sequence[Item]  # what it has read and holds back, in the order of the log
    is_settled: bool = True  # is what was done before them committed?
