"""Floor 5. Operators over async iterators, each usable alone and on whatever yields: a listener, a queue, a socket.

    from tidings import streams

    async with streams.stream(app.listen("order:*")) as orders:
        async for batch in orders.filter(is_large).batch(100, wait=0.5):
            ...

Closing the outermost closes everything below it, and no task is left. Imports clock and errors.
"""

from tidings.streams.flow import Flow
from tidings.streams.merging import merge
from tidings.streams.shaping import distinct, filter, map, scan, take
from tidings.streams.stream import Stream, stream
from tidings.streams.timing import batch, debounce, throttle, timeout

__all__ = [
    "Flow",
    "Stream",
    "batch",
    "debounce",
    "distinct",
    "filter",
    "map",
    "merge",
    "scan",
    "stream",
    "take",
    "throttle",
    "timeout",
]
