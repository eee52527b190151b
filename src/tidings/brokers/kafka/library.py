"""The client library, confluent-kafka, imported on use; with what of it is used in more than one place."""

from types import ModuleType

from tidings.errors import MissingExtra


def client() -> ModuleType:
    """`confluent_kafka`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError:
        raise MissingExtra("kafka", "a broker of kafka://") from None
    return confluent_kafka


def administration() -> ModuleType:
    """`confluent_kafka.admin`.

    Raises:
        MissingExtra: it is not installed.
    """
    client()
    from confluent_kafka import admin

    return admin
