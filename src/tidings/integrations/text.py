"""Whatever gives text as numbered lines: read in pieces, in a thread where reading blocks, and bounded in length."""

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from tidings.concurrency import DedicatedThread
from tidings.errors import ConfigurationError

_CHUNK = 1 << 18  # bytes asked for at a time; a pipe gives what it has
_STDIN = 0
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its end, and which it is, from 1."""

    number: int
    text: bytes


class LineReader:
    """Reads a stream: None for the standard input, a path, an open file, or something async.

    Of a line longer than `longest` bytes only so much is kept, and one byte more to show it. A `read` that is cancelled
    loses nothing: the next one goes on with it.

    Raises:
        ConfigurationError: the stream cannot be read so.
    """

    def __init__(self, stream: Any, *, longest: int) -> None:  # Any: whatever gives text
        self.is_over = False
        self._next = _chunks(stream)
        self._longest = longest
        self._number = 0
        self._begun = b""  # the line whose end is still to come
        self._asked: asyncio.Future[bytes] | None = None

    async def read(self) -> list[Line]:
        """The lines of the next piece, without the empty ones; after the last, `is_over`.

        Raises:
            OSError: the stream gives no more.
        """
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._next())
        await asyncio.wait([self._asked])
        asked, self._asked = self._asked, None
        chunk = asked.result()
        self.is_over = not chunk
        ended, *others = (self._begun + chunk).split(b"\n")
        parts = [ended, *others]
        self._begun = b"" if self.is_over else parts.pop()[: self._longest + 1]
        return self._numbered(parts)

    def _numbered(self, parts: list[bytes]) -> list[Line]:
        first, self._number = self._number + 1, self._number + len(parts)
        if first == 1 and parts:
            parts[0] = parts[0].removeprefix(_BYTE_ORDER_MARK)
        lines = [Line(number, part.strip()[: self._longest + 1]) for number, part in enumerate(parts, first)]
        return [line for line in lines if line.text]


def _chunks(stream: Any) -> Callable[[], Awaitable[bytes]]:
    """A function that gives the next piece of bytes, and none at the end."""
    if stream is None:  # not sys.stdin: a thread that waits in its lock would crash the interpreter's end
        return _in_thread(lambda: os.read(_STDIN, _CHUNK))
    if isinstance(stream, str | Path):
        return _of_path(Path(stream))
    if isinstance(stream, asyncio.StreamReader):
        return lambda: stream.read(_CHUNK)
    if isinstance(stream, AsyncIterable):
        return _of_lines(stream)
    binary = getattr(stream, "buffer", stream)
    if hasattr(binary, "read1"):
        return _in_thread(lambda: bytes(binary.read1(_CHUNK)))
    if hasattr(stream, "readline"):
        return _in_thread(lambda: _encoded(stream.readline()))
    raise ConfigurationError(f"{stream!r} gives no lines: give a path, an open file, or something async")


def _of_path(path: Path) -> Callable[[], Awaitable[bytes]]:
    opened: list[Any] = []

    def read() -> bytes:
        if not opened:
            opened.append(path.open("rb"))
        chunk: bytes = opened[0].read1(_CHUNK)
        if not chunk:
            opened[0].close()
        return chunk

    return _in_thread(read)


def _of_lines(stream: AsyncIterable[Any]) -> Callable[[], Awaitable[bytes]]:
    items = aiter(stream)

    async def read() -> bytes:
        try:
            return _encoded(await anext(items)).removesuffix(b"\n") + b"\n"
        except StopAsyncIteration:
            return b""

    return read


def _in_thread(read: Callable[[], bytes]) -> Callable[[], Awaitable[bytes]]:
    """A thread of its own: one that waits for a person to type must not keep a pool from its work."""
    threads: list[DedicatedThread] = []

    async def call() -> bytes:
        if not threads:
            threads.append(DedicatedThread("tidings-lines"))
        chunk = b""
        try:
            chunk = await threads[0].call(read)
        finally:
            if not chunk:
                threads.pop().close(wait=False)
        return chunk

    return call


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
