"""The client library, aiormq, imported on use; and what of it is used in more than one place."""

from tidings.errors import MissingExtra

try:
    import aiormq
    from aiormq.abc import AbstractConnection, ChannelFrame
    from aiormq.connection import FrameReceiver
    from pamqp import commands
    from pamqp.encode import encode_table_value
    from pamqp.frame import marshal, unmarshal
    from pamqp.header import ContentHeader
    from yarl import URL
except ImportError:
    raise MissingExtra("rabbitmq", "a broker of amqp://") from None

Properties = commands.Basic.Properties

__all__ = [
    "URL",
    "AbstractConnection",
    "ChannelFrame",
    "ContentHeader",
    "FrameReceiver",
    "Properties",
    "aiormq",
    "commands",
    "encode_table_value",
    "marshal",
    "unmarshal",
]
