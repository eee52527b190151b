"""The client library, pulsar-client, imported on use.

Its own module `pulsar` wraps each message in Python, and forgets some settings on the way (how often a pattern looks
for new topics); so what stands below it, `_pulsar`, is used directly, and `pulsar` for who asks alone.
"""

import asyncio
import atexit
import contextlib
import os
import time
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from tidings.brokers.pulsar.settings import Settings
from tidings.errors import MissingExtra

_NOWHERE: Final = "/dev/null"  # what matters is raised
_LONGEST: Final = 2.0  # seconds that the end of a client, and so of the process, is waited for
_LOOK: Final = 0.001  # seconds
_closing: "weakref.WeakSet[Callable[[Any], None]]" = weakref.WeakSet()


def core() -> ModuleType:
    """`_pulsar`, which pulsar-client is made of.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import _pulsar  # type: ignore[import-not-found]  # compiled, without types
    except ImportError:
        raise MissingExtra("pulsar", "a broker of pulsar://") from None
    module: ModuleType = _pulsar
    return module


def new_client(settings: Settings) -> Any:
    """A client, which connects when it is first needed. `Any`: the library has no types."""
    pulsar = core()
    address = settings.address
    configuration = pulsar.ClientConfiguration()
    configuration.operation_timeout_seconds(max(round(settings.timeout), 1))
    configuration.connection_timeout(max(int(settings.timeout * 1000), 1))
    configuration.stats_interval_in_seconds(0)
    configuration.set_file_logger(pulsar.LoggerLevel.Error, _NOWHERE)
    configuration.tls_validate_hostname(True)
    configuration.tls_trust_certs_file_path(address.settings.get("ca") or _authorities())
    if (asks := _authentication(settings)) is not None:
        configuration.authentication(asks.auth)
    return pulsar.Client(f"{address.scheme}://{address.host}:{address.port}", configuration)


class Closing:
    """The end of a client, or of what was made with one, which a thread of its own tells of.

    That thread lets go of whom it told a little later, for which it needs Python. Did the process end in between, it
    would be aborted, as Python lets no thread in any more: https://github.com/apache/pulsar-client-python/issues/256.
    """

    def __init__(self, closed: Any) -> None:
        self._closed = closed
        self._told: weakref.ref[Callable[[Any], None]] | None = None

    def begin(self, told: Callable[[Any], None]) -> None:
        """Close it; `told` is called with the result."""
        self._told = weakref.ref(told)
        _closing.add(told)
        self._closed.close_async(told)

    async def let_go(self) -> None:
        """Return when nothing of it is held any more, or after a while."""
        told = None if self._told is None else self._told()
        if told is None:
            return
        gone, loop = asyncio.Event(), asyncio.get_running_loop()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(gone.set)

        watched = weakref.ref(told, tell)
        del told
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST):
                await gone.wait()
        del watched


@atexit.register
def _see_off() -> None:
    """Of those that nobody waits for, as their server is away, the end of the process waits a while."""
    limit = time.monotonic() + _LONGEST
    while _closing and time.monotonic() < limit:
        time.sleep(_LOOK)


os.register_at_fork(after_in_child=_closing.clear)


def _authentication(settings: Settings) -> Any:
    import pulsar  # type: ignore[import-untyped]  # it has none

    address = settings.address
    if settings.token:
        return pulsar.AuthenticationToken(settings.token)
    if address.user:
        return pulsar.AuthenticationBasic(address.user, address.password)
    if "cert" in address.settings:
        return pulsar.AuthenticationTLS(address.settings["cert"], address.settings.get("key", ""))
    return None


def _authorities() -> str:
    import certifi  # the client library needs it, too

    return str(certifi.where())
