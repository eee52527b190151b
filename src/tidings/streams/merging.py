"""Several sources as one."""

from collections.abc import AsyncGenerator, AsyncIterable
from typing import TypeVar

from tidings.clock import SystemClock
from tidings.streams.flow import Flow
from tidings.streams.inlet import Inlet

Item = TypeVar("Item")


def merge(*sources: AsyncIterable[Item], limit: int = 16) -> Flow[Item]:
    """The items of all sources as they come: `merge(app.listen("order:*"), app.listen("stock:*"))`.

    At most `limit` items wait unread; then the sources wait. It ends with the last source, or with the first that
    fails, after what came before.

    Raises:
        ConfigurationError: `limit` leaves no room for an item.
    """
    inlet = Inlet(sources, SystemClock(), limit=limit)

    async def steps() -> AsyncGenerator[Item, None]:
        async with inlet:
            while await inlet.wait() == "item":
                yield inlet.take()
            inlet.end()

    return Flow(steps(), *sources)
