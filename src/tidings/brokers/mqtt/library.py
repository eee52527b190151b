"""The client library, paho, imported on use: aiomqtt, which stands on it, acknowledges before an event is handled."""

from types import ModuleType

from tidings.errors import MissingExtra


def client() -> ModuleType:
    """`paho.mqtt.client`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import paho.mqtt.client
    except ImportError:
        raise MissingExtra("mqtt", "a broker of mqtt://") from None
    return paho.mqtt.client
