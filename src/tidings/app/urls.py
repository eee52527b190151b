"""Which URL is the log's, and which the broker's."""

from tidings.address import redacted
from tidings.brokers.connect import SCHEMES
from tidings.errors import ConfigurationError
from tidings.log.open import is_log


def log_and_broker(url: str | None, log: str | None, broker: str | None) -> tuple[str | None, str | None]:
    """The log's URL and the broker's, as far as there is one; `url` is of whichever it names. Neither: a log in memory.

    Raises:
        ConfigurationError: one of them is given twice.
    """
    if url is not None:
        if is_log(url):
            if log is not None:
                raise ConfigurationError(f"there are two logs, {redacted(url)} and {redacted(log)}: give one of them")
            log = url
        elif broker is not None:
            raise ConfigurationError(f"there are two brokers, {redacted(url)} and {redacted(broker)}: give one of them")
        else:
            broker = url
    if log is not None and not is_log(log) and log.partition(":")[0] in SCHEMES:
        raise ConfigurationError(
            f"log={redacted(log)!r} is the URL of a broker, which carries events and keeps none: write broker=..., and"
            " beside it, if handlers shall hear a log, log='sqlite:///app.db'"
        )
    if broker is not None and ":" not in broker:
        raise ConfigurationError(f"{redacted(broker)!r} is no URL: a log is written as sqlite:///{broker}")
    return "memory:" if log is None and broker is None else log, broker
