"""How a connection to an MQTT server comes about: paho's client, and the call that blocks until it is connected."""

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tidings.address import Address
from tidings.brokers.mqtt.settings import Settings
from tidings.brokers.reaching import encryption

if TYPE_CHECKING:
    from paho.mqtt.client import Client


class Life(msgspec.Struct, frozen=True):
    """What a connection is to be: its name, how long its session outlasts it, how much it takes at a time."""

    name: str
    expiry: int = 0
    prefetch: int = 500
    will: str | None = None  # a topic whose retained message is taken away when this connection ends without goodbye


def new_client(paho: Any, settings: Settings, life: Life) -> "Client":
    """A client without a connection, which acknowledges only what it is told to."""
    versions = paho.CallbackAPIVersion
    client: Client = paho.Client(versions.VERSION2, life.name, protocol=paho.MQTTv5, manual_ack=True)
    client.connect_timeout = settings.timeout
    client.max_inflight_messages_set(0)  # what is on its way is counted by the outlet
    return client


def dial(paho: Any, client: "Client", settings: Settings, life: Life) -> None:
    """Blocks until there is a connection.

    Raises:
        OSError, ValueError: there is none to be had.
        ConfigurationError: a file that the URL names cannot be read.
    """
    address = settings.address
    if address.user:
        client.username_pw_set(address.user, address.password)
    if settings.is_secret:
        client.tls_set_context(_context(address))
    if life.will is not None:
        client.will_set(life.will, b"", qos=1, retain=True)
    said = {"SessionExpiryInterval": life.expiry, "ReceiveMaximum": max(min(life.prefetch, 0xFFFF), 1)}
    client.connect(
        address.host,
        address.port,
        keepalive=settings.session,
        clean_start=not life.expiry,
        properties=properties_of(paho, "CONNECT", said),
    )


def properties_of(paho: Any, packet: str, said: Mapping[str, Any]) -> Any:
    """What a packet says beside what it is about."""
    properties = paho.Properties(getattr(paho.PacketTypes, packet))
    for name, value in said.items():
        setattr(properties, name, value)
    return properties


class _Secure(ssl.SSLSocket):
    """A socket that is closed where no trust came about; paho leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        """As ever."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _context(address: Address) -> ssl.SSLContext:
    context = encryption(address)
    context.sslsocket_class = _Secure
    return context
