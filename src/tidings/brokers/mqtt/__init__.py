"""MQTT 5 as a carrier: a topic a partition of a channel, and for each partition of a group a session that lasts.

A session is the one place where an MQTT server keeps what nobody has taken yet, and it lets one connection at a time
have it. So a group has as many sessions as there are partitions, and its members share these out among themselves.
"""

from tidings.brokers.mqtt.broker import MqttBroker

__all__ = ["MqttBroker"]
