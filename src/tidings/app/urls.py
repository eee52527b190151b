"""Which URL is the log's, and which the broker's."""

from tidings.errors import ConfigurationError
from tidings.log.open import is_log


def log_and_broker(url: str | None, log: str | None, broker: str | None) -> tuple[str, str | None]:
    """The log's URL, and the broker's if there is one; `url` is of whichever it names.

    Raises:
        ConfigurationError: one of them is given twice, or a broker without a log.
    """
    if url is not None:
        if is_log(url):
            if log is not None:
                raise ConfigurationError(f"there are two logs, {url} and {log}: give one of them")
            log = url
        elif broker is not None:
            raise ConfigurationError(f"there are two brokers, {url} and {broker}: give one of them")
        else:
            broker = url
    if broker is not None and ":" not in broker:
        raise ConfigurationError(f"{broker!r} is no URL: a log is written as sqlite:///{broker}")
    if log is None and broker is not None:
        raise ConfigurationError(
            "a broker alone keeps nothing for a handler that fails: give the application a log too, as in"
            f" log='sqlite:///service.db', broker={broker!r}"
        )
    return log or "memory:", broker
