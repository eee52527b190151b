"""URL -> broker. One row a scheme, imported on use."""

from tidings.brokers.interface import Broker
from tidings.brokers.log import LogBroker
from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.log.open import SCHEMES, is_log, open_log


async def connect(url: str, *, clock: Clock | None = None) -> Broker:
    """Connect the broker `url` names; the URL of a log makes a broker of that log.

    Raises:
        ConfigurationError: no broker has this URL.
    """
    if is_log(url):
        return LogBroker(await open_log(url, clock=clock))
    raise ConfigurationError(f"{url!r} is not the URL of a broker: use that of a log, one of {', '.join(SCHEMES)}")
