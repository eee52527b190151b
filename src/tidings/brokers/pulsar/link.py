"""One life of the connection: the client, what was made with it, and the watch over whether the server still answers.

A link that failed is of no more use: who needs the server makes another. Pulsar's client would reconnect by itself, but
tells nobody, asks a silent server for a sign of life once in 30 seconds, and waits up to a minute between its tries.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from tidings.brokers.pulsar.failures import failure, unanswered
from tidings.brokers.pulsar.library import Closing, core, new_client
from tidings.brokers.pulsar.names import dead_topic_of
from tidings.brokers.pulsar.settings import Settings
from tidings.brokers.reaching import obstacle
from tidings.errors import BrokerError, BrokerUnreachable

_ASKS: Final = 3  # signs of life within the time for an answer
_CLOSABLE: Final = ("Consumer", "Producer", "Reader")


class Member(Protocol):
    """Who uses a link all the time."""

    def fail(self, error: BrokerError) -> None:
        """The link is of no more use."""

    async def end(self) -> None:
        """Make no more use of the client, which is about to be closed."""


class Link:
    """A client, and those who are told when it fails."""

    def __init__(self, settings: Settings) -> None:
        self.client = new_client(settings)
        self.failed: BrokerError | None = None
        self._settings = settings
        self._members: set[Member] = set()
        self._watch: asyncio.Task[None] | None = None

    async def answer(self, doing: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """What the server answers to a call of the client that takes a callback last.

        Raises:
            BrokerUnreachable: there was none in time.
            BrokerError: it refused.
        """
        future: asyncio.Future[tuple[Any, Any]] = asyncio.get_running_loop().create_future()
        try:
            call(*arguments, _Answer(future))
            async with asyncio.timeout(self._settings.timeout):
                result, value = await future
        except TimeoutError:
            found = await obstacle(self._settings.address)  # which the client keeps to itself
            if found is not None:
                raise BrokerUnreachable(self._settings.url, found) from None
            raise unanswered(self._settings.url, doing) from None
        except core().PulsarException as raised:
            raise failure(self._settings.url, raised, doing) from None
        if result.name == "ConnectError" and (found := await obstacle(self._settings.address)):
            raise BrokerUnreachable(self._settings.url, found)
        if result.name != "Ok":
            raise failure(self._settings.url, result, doing)
        return value

    def join(self, member: Member) -> None:
        """It is told when the link fails, which is watched from now on."""
        self._members.add(member)
        if self._watch is None:
            self._watch = asyncio.create_task(self._watching())

    def leave(self, member: Member) -> None:
        """It is not."""
        self._members.discard(member)
        if not self._members and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def fail(self, error: BrokerError) -> None:
        """It is of no more use."""
        if self.failed is None:
            self.failed = error
            for member in self._members:
                member.fail(error)
            with contextlib.suppress(core().PulsarException):
                Closing(self.client).begin(_Kept(self.client))

    async def close(self) -> None:
        """Consumers give back what they have, and what was acknowledged is told."""
        if self._watch is not None:
            self._watch.cancel()
        if self.failed is not None:
            return
        self.failed = BrokerUnreachable(self._settings.url, "it was closed here")
        for member in self._members:
            member.fail(self.failed)
        await asyncio.gather(*(member.end() for member in self._members))
        closing = Closing(self.client)
        with contextlib.suppress(BrokerError):
            await self.answer("closing", closing.begin)
        await closing.let_go()

    async def _watching(self) -> None:
        topic = dead_topic_of(self._settings)
        while self.failed is None:
            await asyncio.sleep(self._settings.timeout / _ASKS)
            try:
                await self.answer("to a sign of life", self.client.get_topic_partitions_async, topic)
            except BrokerUnreachable as error:
                self.fail(error)
            except BrokerError:  # an answer, too
                continue


class _Answer:
    """What the client calls, on a thread of its own, with a result and perhaps what it made."""

    def __init__(self, future: "asyncio.Future[tuple[Any, Any]]") -> None:
        self._future = future
        self._loop = future.get_loop()

    def __call__(self, result: Any, value: Any = None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._resolve, result, value)
        except RuntimeError:  # the loop is closed: nobody waits any more
            let_go(value)

    def _resolve(self, result: Any, value: Any) -> None:
        if self._future.done():
            let_go(value)
        else:
            self._future.set_result((result, value))


class _Kept:
    """Holds the client until it has closed: its end must not be waited for by who drops it."""

    def __init__(self, client: Any) -> None:
        self._client: Any = client

    def __call__(self, result: Any) -> None:
        self._client = None


def let_go(made: Any) -> None:
    """Close it. A consumer that came too late would keep its share of the keys, and nobody would hear them."""
    if type(made).__name__ in _CLOSABLE:
        with contextlib.suppress(core().PulsarException):
            Closing(made).begin(_Kept(made))
