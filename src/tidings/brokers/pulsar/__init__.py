"""Pulsar as a carrier: a topic a channel, and groups as Key_Shared subscriptions, by which keys stay in order.

What a group is to hear again lies in a topic of its own, and what groups gave up in one for all of them.
"""

from tidings.brokers.pulsar.broker import PulsarBroker

__all__ = ["PulsarBroker"]
