"""`Fetching`: has the records of a member's partitions come, each from the server that leads it, on the event loop.

The other client knows whose a partition is, and commits; it hands messages over at several times the cost.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from time import monotonic
from typing import Final

import msgspec

from tidings.brokers.kafka.failures import MOVED, UNSURE, failure
from tidings.brokers.kafka.library import client, reader
from tidings.brokers.kafka.progress import Place, Progress
from tidings.brokers.kafka.records import Fetched
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.source import Answer, Server, Source
from tidings.brokers.kafka.topics import Topics
from tidings.brokers.kafka.tray import Tray
from tidings.brokers.reaching import why
from tidings.errors import BrokerError, BrokerUnreachable, TidingsError

_AGAIN: Final = 0.1  # seconds between questions for who leads a partition, and after a fetch that failed
_SELDOM: Final = 2.0  # likewise, while the answer stays that nobody does


class Fetching:
    """Fills a tray, from `run` until that is cancelled."""

    def __init__(self, settings: Settings, topics: Topics, tray: Tray) -> None:
        self._settings = settings
        self._topics = topics
        self._tray = tray
        self._leaders: dict[Place, Server] = {}
        self._doubtful: set[Place] = set()  # those whose leader does not answer
        self._failing: dict[Place, float] = {}  # since when a server answers, and not with records
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        tray.stir = self._stir

    async def run(self) -> None:
        """Fetch, from every server that leads a partition of this member; what ends it is told through the tray."""
        sources: dict[Server, asyncio.Task[None]] = {}
        pause = _AGAIN
        try:
            while self._tray.failed is None:
                missing = self._missing()
                if missing:
                    await self._find(missing)
                for server in set(self._leaders.values()) - sources.keys():
                    sources[server] = asyncio.create_task(self._draw_on(server))
                left = self._missing()
                if left <= missing:  # else there are others since
                    pause = min(pause * 2, _SELDOM) if left else _AGAIN
                    await self._wait(pause if left else None)
        except Exception as error:
            self._fail(error)
        finally:
            for source in sources.values():
                source.cancel()
            if sources:
                await asyncio.wait(sources.values())

    def _missing(self) -> set[Place]:
        places = {it.place for it in self._tray.held.copied() if it.is_ours}
        return (places - self._leaders.keys()) | (places & self._doubtful)

    async def _find(self, missing: set[Place]) -> None:
        with contextlib.suppress(BrokerUnreachable):  # who shares out the partitions notices too, and has the say
            found = await self._topics.leaders({topic for topic, _ in missing})
            for place in missing:
                self._leaders.pop(place, None)
                if place in found:
                    self._leaders[place] = found[place]
            self._doubtful -= missing
        self._pulse()
        await asyncio.sleep(_AGAIN)

    async def _wait(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _draw_on(self, server: Server) -> None:
        source, since, turn = Source(self._settings, server), None, 0
        try:
            while self._tray.failed is None:
                wanted = self._wanted(server)
                if not wanted:
                    await self._wait(None)
                    continue
                turn = (turn + 1) % len(wanted)  # an answer is filled in the order of the question
                try:
                    answers = await source.fetch(wanted[turn:] + wanted[:turn])
                except (OSError, TimeoutError, reader().errors.KafkaError) as error:
                    source.close()
                    since = since or monotonic()
                    await self._doubt(server, error, since)
                else:
                    since = None
                    await self._take(server, answers)
        except Exception as error:
            self._fail(error)
        finally:
            source.close()

    def _wanted(self, server: Server) -> list[Progress]:
        if self._tray.is_full:
            return []
        led = {place for place, leader in self._leaders.items() if leader == server} - self._doubtful
        return [it for it in self._tray.held.copied() if it.is_ours and it.place in led]

    async def _doubt(self, server: Server, error: Exception, since: float) -> None:
        """Another may lead its partitions now, or soon; that nobody answers for long is told.

        Raises:
            BrokerUnreachable: so it is.
        """
        if monotonic() - max(since, self._tray.heard) > self._settings.timeout:
            address = msgspec.structs.replace(self._settings.address, host=server.host, port=server.port)
            raise BrokerUnreachable(
                self._settings.url, f"{why(error, address)} ({server.host}:{server.port}, receiving)"
            ) from None
        self._doubtful |= {place for place, leader in self._leaders.items() if leader == server}
        self._pulse()
        await asyncio.sleep(_AGAIN)

    async def _take(self, server: Server, answers: list[Answer]) -> None:
        self._tray.heard = monotonic()
        gone: list[Progress] = []
        for answer in answers:
            progress = answer.progress
            if not progress.is_ours or progress.fetched != answer.since:
                continue  # it is another member's by now, or came from elsewhere
            if not answer.error:
                self._failing.pop(progress.place, None)
                if answer.data:
                    self._tray.put(Fetched(progress, answer.data, answer.aborted))
            elif self._is_gone(server, answer):
                gone.append(progress)
        self._tray.ring()
        if gone:
            await self._begin_again(gone)

    def _is_gone(self, server: Server, answer: Answer) -> bool:
        """Is what was asked for not there any more? What else a server says instead of records, passes.

        Raises:
            BrokerError: it does not.
        """
        place, error = answer.progress.place, client().KafkaError(answer.error)
        since = self._failing.setdefault(place, monotonic())
        is_over_soon = error.name() in UNSURE and monotonic() - since < self._settings.timeout
        if error.name() == "OFFSET_OUT_OF_RANGE":
            return True
        if error.name() not in MOVED and not is_over_soon:
            raise failure(self._settings.url, error, f"receiving from {answer.progress.topic!r}")
        if self._leaders.get(place) == server:
            del self._leaders[place]
            self._pulse()
        return False

    async def _begin_again(self, gone: Sequence[Progress]) -> None:
        """With the first that there is."""
        places = [progress.place for progress in gone]
        try:
            begins = await self._topics.beginnings(places)
        except BrokerError:  # another leads them, or will
            self._doubtful |= set(places)
            self._pulse()
            return
        for progress in gone:
            if progress.place in begins:
                self._tray.begin_again(progress, begins[progress.place])
        await asyncio.sleep(_AGAIN)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, TidingsError):
            error = BrokerError(f"{self._settings.url} failed receiving: {type(error).__name__}: {error}")
        self._tray.fail(error)
        self._pulse()

    def _stir(self) -> None:
        """Called in any thread."""
        try:
            self._loop.call_soon_threadsafe(self._pulse)
        except RuntimeError:  # the loop is closed
            pass

    def _pulse(self) -> None:
        """Wake all who wait; each looks for itself whether there is anything for it."""
        self._news.set()
        self._news.clear()
