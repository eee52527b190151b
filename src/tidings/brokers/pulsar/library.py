"""The client library, pulsar-client, imported on use.

Its own module `pulsar` wraps each message in Python, and forgets some settings on the way (how often a pattern looks
for new topics); so what stands below it, `_pulsar`, is used directly, and `pulsar` for who asks alone.
"""

import atexit
import time
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from tidings.brokers.pulsar.settings import Settings
from tidings.errors import MissingExtra

_NOWHERE: Final = "/dev/null"  # what matters is raised
_LONGEST: Final = 2.0  # seconds that the end of the process is put off
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


def close(client: Any, told: Callable[[Any], None]) -> None:
    """Close a client; a thread of its own calls `told` with the result, and lets go of it a little later.

    Did the process end in between, it would be aborted: that thread needs Python to let go of what is Python's, and
    Python lets no thread in any more (https://github.com/apache/pulsar-client-python/issues/256). So it ends later.
    """
    _closing.add(told)
    client.close_async(told)


@atexit.register
def _see_off() -> None:
    limit = time.monotonic() + _LONGEST
    while _closing and time.monotonic() < limit:
        time.sleep(0.001)


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
