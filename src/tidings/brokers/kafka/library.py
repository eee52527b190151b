"""The client libraries, imported on use; with what of them is used in more than one place."""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

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


class Reader(NamedTuple):
    """What of aiokafka is used: it unpacks records several times as fast as confluent-kafka hands them over."""

    connect: Callable[..., Any]  # to one server
    request: Callable[..., Any]  # for records
    records: Callable[[bytes], Any]  # in their batches
    errors: ModuleType


@cache
def reader() -> Reader:
    """The other client library, aiokafka, of which the protocol and the format of records are used alone.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from aiokafka import errors  # type: ignore[import-untyped]  # it has none
        from aiokafka.conn import create_conn  # type: ignore[import-untyped]
        from aiokafka.protocol.fetch import FetchRequest  # type: ignore[import-untyped]
        from aiokafka.record.memory_records import MemoryRecords  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtra("kafka", "a broker of kafka://") from None
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # what matters is raised
    logging.getLogger("aiokafka.conn").addFilter(_is_discreet)
    return Reader(create_conn, FetchRequest, MemoryRecords, errors)


def _is_discreet(record: logging.LogRecord) -> bool:
    """What says less writes down all that is asked and answered: passwords, and what is in the events."""
    return record.levelno > logging.INFO


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
