"""Kafka as a carrier: a topic a channel, whose partitions keep keys in order; groups are Kafka's own.

What a group gave up, and what it is to be handed again, lie in two small topics beside the channels.
"""

from tidings.brokers.kafka.broker import KafkaBroker

__all__ = ["KafkaBroker"]
