"""NATS as a carrier: JetStream, which keeps events, or the server's publish and subscribe alone, which does not."""

from tidings.brokers.channels import Channels
from tidings.brokers.nats.broker import JetStreamBroker
from tidings.brokers.nats.core import CoreBroker
from tidings.brokers.nats.settings import is_core
from tidings.clock import Clock

__all__ = ["CoreBroker", "JetStreamBroker", "nats_broker"]


def nats_broker(
    url: str, *, clock: Clock | None = None, channels: Channels | None = None
) -> JetStreamBroker | CoreBroker:
    """JetStream, unless the URL says `jetstream=no`."""
    return (CoreBroker if is_core(url) else JetStreamBroker)(url, clock=clock, channels=channels)
