"""One connection to a NATS server: what it hears goes to whoever subscribed, answers to whoever asked.

The protocol is spoken here and not by nats-py, which was measured at half this speed and less: it makes an object and a
queue's turn of each message and reads headers line by line whether they are wanted or not. And it reconnects by
itself, where whoever waits for an event or an acknowledgement has to know that the connection was lost.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import msgspec

from tidings.errors import BrokerUnreachable
from tidings.events import new_id

Hear = Callable[[bytes, bytes, bytes, bytes], None]  # subject, where to reply, headers and data of a message
_NEWS: Final = b"$JS.EVENT."
_INBOX: Final = b"1"  # the subscription on which answers come
_LOOKS: Final = 3  # within a timeout, for a sign of life
_H, _M, _P, _I, _ERROR = b"HMPI-"


class Answering(Protocol):
    """What waits for answers."""

    def hear(self, head: bytes, data: bytes) -> None:
        """One of them."""

    def fail(self, error: Exception) -> None:
        """There are no more."""


class Link(asyncio.Protocol):
    """An open connection; once lost, it stays lost, and says so to whoever waits or asks."""

    def __init__(self, shown: str, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self.lost: BrokerUnreachable | None = None
        self.info: dict[str, Any] = {}
        self.greeted: asyncio.Future[None] = loop.create_future()  # the first INFO came
        self.timeout = timeout
        self.inbox = f"_INBOX.{new_id().replace('-', '')}"
        self.transport: asyncio.Transport | None = None
        self._shown = shown
        self._loop = loop
        self._rest = bytearray()
        self._needed = 0  # bytes of a message that has come in part
        self._numbers = itertools.count(2)
        self._hears: dict[bytes, Hear] = {_INBOX: self._answered}
        self._asked: dict[bytes, Answering] = {}
        self._pongs: list[asyncio.Future[None]] = []
        self._mourners: set[Callable[[Exception], None]] = set()
        self._may_write = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._unanswered = 0  # signs of life that were asked for since one came
        self.greeted.add_done_callback(_seen)

    def send(self, commands: bytes) -> None:
        """Send commands; with the connection lost they are not sent."""
        if self.lost is None and self.transport is not None:
            self.transport.write(commands)

    def subscribe(self, subject: str, hear: Hear, *, queue: str = "") -> bytes:
        """Have messages handed to `hear` from now on; the number is for `unsubscribe`."""
        number = b"%d" % next(self._numbers)
        self._hears[number] = hear
        self.send(b"SUB %b %b %b\r\n" % (subject.encode(), queue.encode(), number))
        return number

    def unsubscribe(self, number: bytes) -> None:
        """The server is to send no more; what is on its way is still heard, until `forget`."""
        self.send(b"UNSUB %b\r\n" % number)

    def forget(self, number: bytes) -> None:
        """Nothing of it is heard any more."""
        self._hears.pop(number, None)

    def expect(self, answering: Answering) -> bytes:
        """Where answers to it are to be sent. Whoever expects them calls `expect_no_more` in the end."""
        word = b"%d" % next(self._numbers)
        subject = b"%b.%b" % (self.inbox.encode(), word)
        if self.lost is not None:
            answering.fail(self.error())
        else:
            self._asked[word] = answering
        return subject

    def expect_no_more(self, subject: bytes) -> None:
        """What comes now is nobody's."""
        self._asked.pop(subject.rpartition(b".")[2], None)

    def mourn(self, told: Callable[[Exception], None]) -> None:
        """Have it told when the connection is lost."""
        self._mourners.add(told)

    def mourn_no_more(self, told: Callable[[Exception], None]) -> None:
        """It need not be told."""
        self._mourners.discard(told)

    async def flushed(self) -> None:
        """Wait until the server has read all that was sent.

        Raises:
            BrokerUnreachable: it does not say so, or the connection was lost.
        """
        pong: asyncio.Future[None] = self._loop.create_future()
        pong.add_done_callback(_seen)
        if self.lost is not None:
            raise self.error()
        self._pongs.append(pong)
        self.send(b"PING\r\n")
        try:
            async with asyncio.timeout(self.timeout):
                await pong
        except TimeoutError:
            raise self.silent() from None

    async def drain(self) -> None:
        """Wait until the server has taken most of what was sent.

        Raises:
            BrokerUnreachable: it takes nothing, or the connection was lost.
        """
        if not self._may_write.is_set():
            try:
                async with asyncio.timeout(self.timeout):
                    await self._may_write.wait()
            except TimeoutError:
                self.lose(f"it took nothing for {self.timeout:g} s")
        if self.lost is not None:
            raise self.error()

    def hold(self, held: bool) -> None:
        """Read no more for a while, or go on."""
        if self.transport is not None and self.lost is None and self.transport.is_reading() is held:
            (self.transport.pause_reading if held else self.transport.resume_reading)()

    def begin_watching(self) -> None:
        """From now on a server that says nothing for the timeout is taken for lost."""
        if self.lost is None:
            self._watch = self._loop.call_later(self.timeout / _LOOKS, self._look)

    def silent(self) -> BrokerUnreachable:
        """It is given up, as nothing was answered in time; the error that says so."""
        self.lose(f"it did not answer within {self.timeout:g} s")
        return self.error()

    def error(self) -> BrokerUnreachable:
        """Why it is lost; a new one each time, as it is raised in several places."""
        assert self.lost is not None
        return BrokerUnreachable(self._shown, self.lost.reason)

    def lose(self, reason: str) -> None:
        """Give the connection up; who waits for something is told the reason."""
        if self.lost is not None:
            return
        self.lost = BrokerUnreachable(self._shown, reason)
        if self._watch is not None:
            self._watch.cancel()
        if self.transport is not None:
            self.transport.abort()
        self._may_write.set()
        asked, self._asked = self._asked, {}
        for answering in asked.values():
            answering.fail(self.error())
        for future in (*self._pongs, self.greeted):
            if not future.done():
                future.set_exception(self.error())
        for told in list(self._mourners):
            told(self.error())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: it is open."""
        self.transport = cast(asyncio.Transport, transport)
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """asyncio's: something came."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        self._needed = 0
        try:
            left = self._take_apart(data)
        except (ValueError, KeyError, IndexError, msgspec.DecodeError) as error:
            self.lose(f"it does not speak NATS's protocol ({type(error).__name__})")
            return
        if left < len(data):
            self._rest += data[left:]

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's: it is gone."""
        self.lose(f"the connection was lost ({error})" if error else "it closed the connection")

    def pause_writing(self) -> None:
        """asyncio's: a good deal waits to be sent."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """asyncio's: most of it was."""
        self._may_write.set()

    def _take_apart(self, data: bytes) -> int:
        """Hand on all messages that are whole; how far that is. This is the path that every event takes."""
        at, find, hears = 0, data.find, self._hears
        while (end := find(b"\r\n", at)) >= 0:
            kind = data[at]
            if kind != _H and kind != _M:
                self._control(kind, data[at:end])
                at = end + 2
                continue
            words = data[at:end].split()  # HMSG subject number [reply] headers all, or MSG subject number [reply] all
            begin = end + 2
            finish = begin + int(words[-1])
            if len(data) < finish + 2:
                self._needed = finish + 2 - at
                break
            body, has_reply = begin, len(words) == 5
            if kind == _H:
                body, has_reply = begin + int(words[-2]), len(words) == 6
            hear = hears.get(words[2])
            if hear is not None:
                hear(words[1], words[3] if has_reply else b"", data[begin:body], data[body:finish])
            at = finish + 2
        return at

    def _control(self, kind: int, line: bytes) -> None:
        self._unanswered = 0
        if kind == _P:
            if line == b"PING":
                self.send(b"PONG\r\n")
            elif self._pongs and not (pong := self._pongs.pop(0)).done():
                pong.set_result(None)
        elif kind == _I:
            self.info = msgspec.json.decode(line[5:])
            if not self.greeted.done():
                self.greeted.set_result(None)
        elif kind == _ERROR and _NEWS not in line:  # who may not hear of new streams looks for them
            self.lose(f"it says {line[5:].decode(errors='replace')}")

    def _answered(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        answering = self._asked.get(subject.rpartition(b".")[2])
        if answering is not None:
            answering.hear(head, data)

    def _look(self) -> None:
        """Several looks, as after a pause of our own an answer may lie there and have yet to be read."""
        if self.transport is not None and not self.transport.is_reading():
            self._unanswered = 0
        if self._unanswered == _LOOKS:
            self.lose(f"it said nothing for {self.timeout:g} s")
            return
        self._unanswered += 1
        pong: asyncio.Future[None] = self._loop.create_future()
        pong.add_done_callback(_seen)
        self._pongs.append(pong)
        self.send(b"PING\r\n")
        self.begin_watching()


def _seen(future: "asyncio.Future[None]") -> None:
    """An error nobody waits for any more is no complaint of asyncio's."""
    if not future.cancelled():
        future.exception()
