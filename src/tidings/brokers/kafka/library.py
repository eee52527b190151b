"""The client library, confluent-kafka, imported on use; with what of it is used in more than one place."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

from tidings.errors import ConfigurationError, MissingExtra

Made = TypeVar("Made")


def client() -> ModuleType:
    """`confluent_kafka`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError:
        raise MissingExtra("kafka", "a broker of kafka://") from None
    return confluent_kafka


def administration() -> ModuleType:
    """`confluent_kafka.admin`.

    Raises:
        MissingExtra: it is not installed.
    """
    client()
    from confluent_kafka import admin

    return admin


def made(kind: Callable[[dict[str, Any]], Made], settings: Mapping[str, Any], url: str) -> Made:
    """A producer, a consumer or an administrator.

    Raises:
        ConfigurationError: a setting has a value that the client does not take.
    """
    try:
        return kind(dict(settings))
    except client().KafkaException as raised:
        raise ConfigurationError(f"{url}: {raised.args[0].str()}; correct the URL") from None
