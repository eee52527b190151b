"""URL -> broker. One row a scheme, imported on use."""

from tidings.brokers.interface import Broker
from tidings.brokers.log import LogBroker
from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.log.open import SCHEMES, is_log


async def connect(url: str, *, clock: Clock | None = None) -> Broker:
    """The broker `url` names; the URL of a log makes a broker of that log.

    It need not be there now: what fails then is the first use of it.

    Raises:
        ConfigurationError: no broker has this URL.
    """
    if is_log(url):
        return LogBroker(url, clock=clock)
    raise ConfigurationError(f"{url!r} is not the URL of a broker: use that of a log, one of {', '.join(SCHEMES)}")
