"""URL -> broker. One row a scheme, imported on use."""

import asyncio
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import cast

from tidings.address import redacted
from tidings.brokers.channels import Channels
from tidings.brokers.interface import Broker
from tidings.brokers.log import LogBroker
from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.log.open import SCHEMES as LOGS
from tidings.log.open import is_log

SCHEMES: dict[str, str] = {  # scheme -> where its broker is: a class made with (url, clock=, channels=)
    "redis": "tidings.brokers.redis:RedisBroker",
    "rediss": "tidings.brokers.redis:RedisBroker",
    "redis+pubsub": "tidings.brokers.redis:RedisPubSub",
    "rediss+pubsub": "tidings.brokers.redis:RedisPubSub",
    "kafka": "tidings.brokers.kafka:KafkaBroker",
    "kafka+ssl": "tidings.brokers.kafka:KafkaBroker",
    "mqtt": "tidings.brokers.mqtt:MqttBroker",
    "mqtts": "tidings.brokers.mqtt:MqttBroker",
    "nats": "tidings.brokers.nats:nats_broker",
    "nats+tls": "tidings.brokers.nats:nats_broker",
    "amqp": "tidings.brokers.rabbitmq:RabbitmqBroker",
    "amqps": "tidings.brokers.rabbitmq:RabbitmqBroker",
    "pulsar": "tidings.brokers.pulsar:PulsarBroker",
    "pulsar+ssl": "tidings.brokers.pulsar:PulsarBroker",
}

_CALLED = {"rabbitmq": "amqp", "rabbit": "amqp", "jetstream": "nats", "mosquitto": "mqtt", "psql": "postgresql"}


async def connect(url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> Broker:
    """The broker `url` names; the URL of a log makes a broker of that log.

    It need not be there now: what fails then is the first use of it. `channels` says where events travel.

    Raises:
        ConfigurationError: no broker has this URL, or not such settings.
        MissingExtra: the library for it is not installed.
    """
    if is_log(url):
        return LogBroker(url, clock=clock)
    target = SCHEMES.get(url.partition(":")[0])
    if target is None:
        raise ConfigurationError(f"{redacted(url)!r} is not the URL of a broker: {_advice(url.partition(':')[0])}")
    module, _, name = target.partition(":")
    found = sys.modules.get(module) or await asyncio.to_thread(import_module, module)  # which reads files, for a while
    return cast(Broker, getattr(found, name)(url, clock=clock, channels=channels or Channels()))


def _advice(scheme: str) -> str:
    """What was probably meant, else all that there is."""
    logs = [each.removesuffix(":") for each in LOGS]
    meant = _CALLED.get(scheme) or next(iter(get_close_matches(scheme, [*logs, *SCHEMES], 1)), None)
    if meant is not None:
        return f"did you mean {meant}{':' if meant == 'memory' else '://'}?"
    return f"use that of a log or server: {', '.join([*LOGS, *(f'{each}://' for each in SCHEMES)])}"
