"""All servers there are, in the order in which they are installed and named."""

from collections.abc import Sequence

from tests.servers.kafka import KafkaServer
from tests.servers.mosquitto import MosquittoServer
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.pulsar import PulsarServer
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.redis import RedisServer
from tests.servers.server import Server

SERVERS: Sequence[type[Server]] = (
    RedisServer,
    NatsServer,
    RabbitmqServer,
    MosquittoServer,
    PostgresServer,
    KafkaServer,
    PulsarServer,
)
