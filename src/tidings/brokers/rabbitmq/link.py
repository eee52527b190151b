"""`Link`: a connection to the server, made when it is first needed and again after it was lost; and its errors in our
words."""

import asyncio
import contextlib
import itertools
import logging
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from tidings.brokers.rabbitmq.frames import Connection
from tidings.brokers.rabbitmq.library import URL, AbstractConnection, aiormq
from tidings.brokers.rabbitmq.settings import Settings
from tidings.brokers.reaching import encryption, why
from tidings.errors import BrokerError, BrokerUnreachable, TidingsError

_BUFFER = 1 << 20  # bytes that are read ahead
_LOGGER = logging.getLogger("aiormq")
_CLOSING: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly
_GOODBYE = 1.0  # seconds for a polite end
_AnyChannel = TypeVar("_AnyChannel", bound=aiormq.Channel)
_Answer = TypeVar("_Answer")


class Link:
    """One connection. Its channels end with it, and whoever has one hears of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connection: AbstractConnection | None = None
        self._streams = _Streams()
        self._connecting = asyncio.Lock()
        self._forsaken: set[asyncio.Task[Any]] = set()  # whoever waited for these was cancelled

    async def channel(self, kind: type[_AnyChannel], *, confirms: bool = False) -> _AnyChannel:
        """Another channel, of the class `kind`.

        Raises:
            BrokerError: there is none to be had.
        """
        opening = asyncio.create_task(self._open(kind, confirms))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:  # an opening that is cut short would cost everybody the connection
            self._forsake(asyncio.create_task(_end_opened(opening)))
            raise

    async def undisturbed(self, asking: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Have this asked to its end, also when who waits for it is cancelled.

        For questions that the server may answer by closing their channel: the library closes it, too, when it is
        cancelled meanwhile, and if the two cross, the server ends the whole connection.
        """
        task = asyncio.create_task(asking)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._forsake(task)
            raise

    @contextlib.asynccontextmanager
    async def talking(self, *, patience: float = 1.0) -> AsyncIterator[aiormq.Channel]:
        """A channel for a few questions, which are answered in time; `patience` times as long for many."""
        channel = await self.channel(aiormq.Channel)
        try:
            with translated(self.settings.url):
                async with asyncio.timeout(self.settings.timeout * patience):
                    yield channel
        finally:
            await end(channel)

    async def drop(self) -> None:
        """Give the connection up, as the server says nothing on it any more."""
        connection, self._connection = self._connection, None
        self._streams.abort()
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_GOODBYE):
                    await connection.close()

    async def close(self) -> None:
        """End the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_GOODBYE):
                    await connection.close()
        self._streams.abort()
        if self._forsaken:
            await asyncio.wait(self._forsaken, timeout=_GOODBYE)

    def _forsake(self, task: asyncio.Task[Any]) -> None:
        self._forsaken.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._forsaken.discard(task)
        if not task.cancelled():
            task.exception()  # which nobody waits for

    async def _open(self, kind: type[_AnyChannel], confirms: bool) -> _AnyChannel:
        try:
            with translated(self.settings.url):
                async with asyncio.timeout(self.settings.timeout):
                    connection = await self._connected()
                    number = next(each for each in itertools.count(1) if each not in connection.channels)
                    channel = kind(connection, number, publisher_confirms=confirms)
                    connection.channels[number] = channel
                    await channel.open()
                    return channel
        except BrokerUnreachable:
            await self.drop()  # who says nothing is asked on a new connection next time
            raise

    async def _connected(self) -> AbstractConnection:
        async with self._connecting:
            found = self._connection
            if found is None or found.is_closed or not found.is_opened:
                found = self._connection = await self._connect()
            return found

    async def _connect(self) -> AbstractConnection:
        settings = self.settings
        context = await asyncio.to_thread(encryption, settings.address) if settings.is_secret else None
        self._streams = _Streams(context)
        if _LOGGER.level == logging.NOTSET:  # whatever happens is raised; it would be told twice, with tracebacks
            _LOGGER.setLevel(logging.CRITICAL)
        connection = Connection(_url(settings), transport_factory=self._streams)
        try:
            await connection.connect()
        except aiormq.exceptions.InvalidFrameError:  # what it said instead is not told
            told = f"it lets this user not into its virtual host {settings.address.path or '/'!r}, if there is one"
            raise BrokerUnreachable(settings.url, told) from None
        except BaseException as error:
            self._streams.abort()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError | aiormq.exceptions.AMQPError):
                raise BrokerUnreachable(settings.url, why(error, settings.address)) from None
            raise
        return connection


class _Streams(aiormq.TransportFactory):
    """The bytes of a connection. They are opened here, as only who has them can end them without a goodbye."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._transport: asyncio.WriteTransport | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(url.host, url.port, ssl=self._context, limit=_BUFFER)
        self._transport = writer.transport
        return reader, writer

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _end_opened(opening: "asyncio.Task[_AnyChannel]") -> None:
    with contextlib.suppress(BrokerError):
        await end(await opening)


async def end(channel: aiormq.Channel) -> None:
    """Close a channel, whatever state it is in.

    Who waits may be cancelled, and the closing goes on: the library would say it twice, for which the server ends the
    whole connection.
    """
    closing = asyncio.create_task(_close(channel))
    _CLOSING.add(closing)
    closing.add_done_callback(_CLOSING.discard)
    await asyncio.wait([closing], timeout=_GOODBYE)


async def _close(channel: aiormq.Channel) -> None:
    with contextlib.suppress(Exception):
        await channel.close()


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """What the client library raises, in our words and without a password.

    It cancels its own tasks when a connection ends. Who waits for one of them would take that for its own cancelling.
    """
    try:
        yield
    except TidingsError:
        raise
    except asyncio.CancelledError as error:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        raise in_our_words(url, error) from None
    except Exception as error:
        raise in_our_words(url, error) from None


def in_our_words(url: str, error: BaseException | None) -> BrokerError:
    """An error of the client library as one of ours."""
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, TimeoutError):
        return BrokerUnreachable(url, "it did not answer in time")
    if isinstance(error, aiormq.exceptions.AuthenticationError | aiormq.exceptions.ProbableAuthenticationError):
        return BrokerUnreachable(url, "it refuses this user and password")
    if isinstance(error, aiormq.exceptions.ConnectionNotAllowed):
        return BrokerUnreachable(url, f"it refuses: {_told(error)}")
    if isinstance(error, aiormq.exceptions.AMQPChannelError):
        return BrokerError(f"{url} refuses: {_told(error)}")
    return BrokerUnreachable(url, _told(error))


def _told(error: BaseException | None) -> str:
    if error is None or isinstance(error, asyncio.CancelledError):
        return "the connection was closed"
    return ", ".join(str(each) for each in error.args if each) or type(error).__name__


def _url(settings: Settings) -> URL:
    address = settings.address
    return URL.build(
        scheme=address.scheme,
        user=address.user or "guest",
        password=address.password or "guest",
        host=address.host,
        port=address.port,
        path="/" + quote(address.path, safe=""),
        query={"heartbeat": str(settings.heartbeat), "name": "tidings"},
        encoded=False,
    )
