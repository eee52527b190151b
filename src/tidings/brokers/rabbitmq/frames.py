"""`Connection`: the client library's, which does not end at a message whose headers it cannot decode.

A server looks into no table that it need not: names that are no UTF-8, times outside the calendar and types that one
client invented reach whoever receives. The library would end the connection at each of them; the message would come
again, and nobody on that queue would ever hear of another.
"""

import asyncio
import struct
from typing import Any, Final

from tidings.brokers.rabbitmq.library import ContentHeader, FrameReceiver, Properties, aiormq, commands, unmarshal

UNDECODED: Final = "tidings-undecoded"  # in the place of a message's headers: why they could not be decoded
_START: Final = struct.Struct(">BHI")  # of a frame: its kind, its channel, and its bytes before the last
_METHOD, _HEADER = 1, 2
_DELIVER: Final = 60 << 16 | 60


class Connection(aiormq.Connection):
    """Reads its frames by `Frames`. The two steps have the library's own names."""

    async def __reader(self, frame_receiver: FrameReceiver) -> None:
        await super().__reader(Frames(frame_receiver.reader))


class Frames(FrameReceiver):
    """The frames of a connection, in turn."""

    async def get_frame(self) -> Any:
        """The next one, with its channel; of a delivery that cannot be decoded, as much as can.

        Raises:
            AMQPConnectionError: there is no further one.
            InvalidFrameError: it says what nobody understands.
        """
        start, rest = await self._bytes()
        kind, channel, _ = _START.unpack(start)
        try:
            return unmarshal(start + rest)
        except Exception as error:  # what the library lets through is not of one kind
            if kind == _HEADER and len(rest) > 12:
                return 0, channel, _header(rest, error)
            if kind == _METHOD and int.from_bytes(rest[:4]) == _DELIVER:
                return 0, channel, _delivery(rest)
            raise aiormq.exceptions.InvalidFrameError(str(error)) from error

    async def _bytes(self) -> tuple[bytes, bytes]:
        if self.reader.at_eof():
            raise StopAsyncIteration
        try:
            start = await self.reader.readexactly(_START.size)
            return start, await self.reader.readexactly(_START.unpack(start)[2] + 1)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise aiormq.exceptions.AMQPConnectionError(f"the connection was closed: {error}") from error


def _header(content: bytes, error: Exception) -> ContentHeader:
    """The header of a message whose body has so many bytes, and of which no more can be told."""
    size: int = struct.unpack(">HHQ", content[:12])[2]
    return ContentHeader(0, size, Properties(headers={UNDECODED: f"{type(error).__name__}: {error}"[:1000]}))


def _delivery(content: bytes) -> commands.Basic.Deliver:
    """A delivery that has text which is none, with what that looks like."""
    consumer, rest = _text(content[4:])
    tag, is_redelivered = int.from_bytes(rest[:8]), bool(rest[8] & 1)
    exchange, rest = _text(rest[9:])
    return commands.Basic.Deliver(consumer, tag, is_redelivered, exchange, _text(rest)[0])


def _text(content: bytes) -> tuple[str, bytes]:
    end = 1 + content[0]
    return content[1:end].decode(errors="replace"), content[end:]
