"""Redis as a carrier, in two ways: its streams, which keep events, and publish/subscribe, which does not."""

from tidings.brokers.redis.pubsub import RedisPubSub
from tidings.brokers.redis.streams import RedisBroker

__all__ = ["RedisBroker", "RedisPubSub"]
