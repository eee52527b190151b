"""RabbitMQ as a carrier: one topic exchange, and for each group a quorum queue a partition that one member receives.

What a group gave up lies in a queue of its own, and what it is to be handed again later waits in queues whose messages
expire back to it. Everything is on disk, and everything is made of what RabbitMQ has without plugins.
"""

from tidings.brokers.rabbitmq.broker import RabbitmqBroker

__all__ = ["RabbitmqBroker"]
