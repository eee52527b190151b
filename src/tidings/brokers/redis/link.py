"""One connection to a Redis server: many ask on it at a time, and are answered in the order in which they asked.

Of client libraries only hiredis is used, which takes the protocol apart in C. The asyncio client of redis-py publishes
at half this speed, as it awaits each answer of a pipeline by itself; and what stands here is needed on top of it: a
call that was cancelled leaves the others' answers where they belong.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, cast

from tidings.errors import BrokerError, BrokerUnreachable, MissingExtra

Answers = asyncio.Future[list[Any]]  # one for each command; a command that was refused has its error there


class Link(asyncio.Protocol):
    """An open connection; once lost, it stays lost, and says so to whoever waits or asks."""

    def __init__(self, shown: str, timeout: float, hiredis: ModuleType) -> None:
        self.lost: BrokerUnreachable | None = None
        self.largest = 0  # bytes of one value; 0 when the server did not say
        self._shown = shown
        self.timeout = timeout
        self.pack: Callable[[tuple[str | bytes | int, ...]], bytes] = hiredis.pack_command
        self._reader = hiredis.Reader()
        self._asked: deque[tuple[int, Answers]] = deque()
        self._answers: list[Any] = []  # to the first of those
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._may_write = asyncio.Event()
        self._hear: Callable[[Any], None] | None = None

    def ask(self, packed: bytes, count: int) -> Answers:
        """Send `count` commands; the future has their answers.

        What many ask in one turn of the event loop goes out in one piece, which the server syncs to its disk at once.
        """
        loop = asyncio.get_running_loop()
        answers: Answers = loop.create_future()
        answers.add_done_callback(_seen)
        if self.lost is not None or self._transport is None:
            answers.set_exception(self.lost or BrokerUnreachable(self._shown, "it is not connected"))
        else:
            self._asked.append((count, answers))
            self._send(packed, loop)
        return answers

    def send(self, packed: bytes) -> None:
        """Send commands whose answers go to who listens."""
        self._send(packed, asyncio.get_running_loop())

    def listen(self, hear: Callable[[Any], None]) -> None:
        """From now on all that comes is handed to `hear`, and at last a loss, as an error; `ask` is of no use then."""
        self._hear = hear

    def hold(self, held: bool) -> None:
        """Read no more for a while, or go on."""
        if self._transport is not None and self.lost is None and self._transport.is_reading() is held:
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    async def wait(self, answers: Answers, *, patience: float = 0.0) -> list[Any]:
        """What `ask` gave, once it is there.

        Raises:
            BrokerUnreachable: the connection was lost, or nothing came within the timeout and `patience` seconds.
        """
        try:
            async with asyncio.timeout(self.timeout + patience):
                return await answers
        except TimeoutError:
            raise self.silent() from None

    async def drain(self) -> None:
        """Send, let others have a turn, and wait until the server has taken most of it.

        Raises:
            BrokerUnreachable: it takes nothing, or the connection was lost.
        """
        self._flush()
        await asyncio.sleep(0)
        if self._may_write.is_set():
            return
        try:
            async with asyncio.timeout(self.timeout):
                await self._may_write.wait()
        except TimeoutError:
            self.lose(f"it took nothing for {self.timeout:g} s")
        if self.lost is not None:
            raise self.lost

    def silent(self) -> BrokerUnreachable:
        """It is given up, as nothing was answered in time; the error that says so."""
        self.lose(f"it did not answer within {self.timeout:g} s")
        return self._error()

    def lose(self, reason: str) -> None:
        """Give the connection up; who waits for an answer is told the reason."""
        if self.lost is None:
            self.lost = BrokerUnreachable(self._shown, reason)
        while self._asked:
            _, answers = self._asked.popleft()
            if not answers.done():
                answers.set_exception(self._error())
        self._may_write.set()
        if self._transport is not None:
            self._transport.abort()
        if self._hear is not None:
            hear, self._hear = self._hear, None
            hear(self._error())

    async def close(self) -> None:
        """End it politely."""
        self.lose("the connection was closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: it is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """asyncio's: something came. This is the path that every event takes."""
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (answer := gets()) is not False:
                if self._hear is not None:
                    self._hear(answer)
                    continue
                self._answers.append(answer)
                if len(self._answers) == self._asked[0][0]:
                    answered, self._answers = self._answers, []
                    _, answers = self._asked.popleft()
                    if not answers.done():
                        answers.set_result(answered)
        except Exception as error:  # hiredis's own, or an answer to nobody's question
            if self.lost is None:
                self.lose(f"it does not speak Redis's protocol ({type(error).__name__})")

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's: it is gone."""
        self.lose(f"the connection was lost ({error})" if error else "it closed the connection")

    def pause_writing(self) -> None:
        """asyncio's: a good deal waits to be sent."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """asyncio's: most of it was."""
        self._may_write.set()

    def _send(self, packed: bytes, loop: asyncio.AbstractEventLoop) -> None:
        if not self._unsent:
            loop.call_soon(self._flush)
        self._unsent.append(packed)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and self.lost is None and self._transport is not None:
            self._transport.write(b"".join(unsent))

    def _error(self) -> BrokerUnreachable:
        assert self.lost is not None
        return BrokerUnreachable(self.lost.url, self.lost.reason)


def library() -> ModuleType:
    """hiredis, imported when it is first needed.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import hiredis
    except ImportError as error:
        raise MissingExtra("redis", "a Redis server as a carrier") from error
    return hiredis


def packed(*words: str | bytes | int) -> bytes:
    """A command as it goes over the wire."""
    written: bytes = library().pack_command(words)
    return written


def checked(answers: Sequence[Any], shown: str) -> Sequence[Any]:
    """The answers, when none of them is a refusal.

    Raises:
        BrokerError: one is; with what the server says.
    """
    for answer in answers:
        if isinstance(answer, Exception):
            raise BrokerError(f"{shown} refused: {answer}")
    return answers


def _seen(answers: Answers) -> None:
    """An error nobody waits for any more is no complaint of asyncio's."""
    if not answers.cancelled():
        answers.exception()
