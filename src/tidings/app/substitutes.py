"""`Substitutes`: what a test puts in the place of an application's own parts, and takes away again without a trace."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from tidings.brokers import Broker
from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.handling.subscription import Subscription
from tidings.log import Log

OpenLog = Callable[..., Awaitable[Log]]
Connect = Callable[..., Awaitable[Broker]]


class Substitutes(msgspec.Struct, frozen=True):
    """Another clock, and other ways to open the log, to connect to the broker and to call each handler."""

    clock: Clock
    log_url: str | None
    broker_url: str | None
    open_log: OpenLog
    connect: Connect
    watched: Callable[[Subscription], Subscription]
    drain: float


@contextlib.contextmanager
def substituted(app: Any, parts: Substitutes) -> Iterator[None]:
    """`app` with these parts until the block ends; whatever is set on it meanwhile is forgotten then.

    Raises:
        ConfigurationError: it is open, and holds parts of its own.
    """
    state = vars(app)
    if state["_open_count"]:
        raise ConfigurationError(
            f"{app.name} is open: give it other parts before 'async with', app.run() or app.running()"
        )
    before = dict(state)
    state.update(
        clock=parts.clock,
        log_url=parts.log_url,
        broker_url=parts.broker_url,
        drain=parts.drain,
        _open_log=parts.open_log,
        _connect=parts.connect,
        _subscriptions=[parts.watched(each) for each in app.subscriptions],
    )
    with contextlib.ExitStack() as stack:
        for breaker in before["_breakers"]:
            stack.enter_context(breaker.anew(parts.clock))
        try:
            yield
        finally:
            state.clear()
            state.update(before)
