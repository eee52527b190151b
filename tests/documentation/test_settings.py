"""The page of carriers' settings has each setting that a carrier takes, no other, and the default that it has."""

import asyncio
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.documentation.blocks import DOCS
from tidings import Retain
from tidings.brokers import connect
from tidings.brokers.connect import SCHEMES
from tidings.brokers.kafka.settings import settings_of as of_kafka
from tidings.brokers.mqtt.settings import settings_of as of_mqtt
from tidings.brokers.nats.settings import settings_of as of_nats
from tidings.brokers.pulsar.settings import settings_of as of_pulsar
from tidings.brokers.rabbitmq.settings import settings_of as of_rabbitmq
from tidings.brokers.redis.settings import settings_of as of_redis
from tidings.errors import ConfigurationError
from tidings.log.postgres.log import PostgresLog
from tidings.log.sqlite import SqliteLog

PAGE = (DOCS / "how-to/brokers.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
CARRIERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "Redis Streams": ("redis://host", of_redis),
    "Redis pub/sub": ("redis+pubsub://host", of_redis),
    "Kafka": ("kafka://host", of_kafka),
    "NATS JetStream": ("nats://host", of_nats),
    "RabbitMQ": ("amqp://host", of_rabbitmq),
    "Pulsar": ("pulsar://host", of_pulsar),
    "MQTT": ("mqtt://host", of_mqtt),
}
_ROW = re.compile(r"^\| (`[\w`, ]+`) \| (.+?) \| .+ \|$", re.MULTILINE)


def told(section: str) -> dict[str, str]:
    """The settings of a section, each with its default."""
    rows = _ROW.findall(SECTIONS[section])
    return {name: default.strip("`") for names, default in rows for name in re.findall(r"`(\w+)`", names)}


def number(default: str) -> float:
    """What a default comes to, which may be a time; those are kept in milliseconds."""
    seconds = Retain(age=default).seconds if default[-1].isalpha() else None
    return float(default) if seconds is None else seconds * 1000


def taken(url: str) -> set[str]:
    """The settings that a carrier says it has, when it is given one that nobody has."""
    with pytest.raises(ConfigurationError) as raised:
        asyncio.run(connect(f"{url}{'&' if '?' in url else '?'}nonsense=1"))
    return set(str(raised.value).partition("it has ")[2].split(", "))


@pytest.mark.parametrize("section", CARRIERS)
def test_each_setting_of_a_carrier_stands_in_its_section_and_no_other(section: str) -> None:
    url, _ = CARRIERS[section]

    assert set(told(section)) == taken(url)


@pytest.mark.parametrize("section", CARRIERS)
def test_a_default_is_the_one_that_counts(section: str) -> None:
    url, read = CARRIERS[section]
    settings = read(url)

    for name, default in told(section).items():
        counts = getattr(settings, name, None)
        if isinstance(counts, int | float) and not isinstance(counts, bool):
            assert number(default) == counts, f"{section}: {name}"
        elif isinstance(counts, str):
            assert default == counts or not counts, f"{section}: {name}"


def test_settings_of_nats_without_jetstream_are_named() -> None:
    named = re.findall(r"`(\w+)`", SECTIONS["NATS without JetStream"])

    assert taken("nats://host?jetstream=no") - {"jetstream"} == set(named)


def test_settings_of_the_logs_are_there_with_their_defaults() -> None:
    rows = told("A log as a carrier")
    for kind in (SqliteLog, PostgresLog):
        parameters = inspect.signature(kind.open).parameters.values()
        own = {
            each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY and each.name != "clock"
        }
        for name, default in own.items():
            assert rows[name] == (default if isinstance(default, str) else f"{default:g}")


def test_every_scheme_has_a_section() -> None:
    for scheme in SCHEMES:
        assert f"`{scheme}://" in PAGE, f"{scheme}:// is in no section"
