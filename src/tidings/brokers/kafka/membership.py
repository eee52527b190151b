"""`Membership`: how an inbox joins a group, or begins to listen without one, and how it leaves."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterable
from functools import partial
from typing import TypeVar

from tidings.brokers.kafka.failures import closing_told, error_in, failure
from tidings.brokers.kafka.fetching import Fetching
from tidings.brokers.kafka.library import client
from tidings.brokers.kafka.names import again_topic_of, channel_of
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.sharing import Own, Sharing
from tidings.brokers.kafka.topics import Topics
from tidings.brokers.kafka.tray import Tray
from tidings.concurrency import DedicatedThread

Result = TypeVar("Result")


class Membership:
    """One member of a group, or one listener, with a thread of its own."""

    def __init__(self, settings: Settings, topics: Topics, group: str | None, heard: frozenset[str] | None) -> None:
        self._settings = settings
        self._topics = topics
        self._group = group
        self._heard = heard
        self._again = None if group is None else again_topic_of(settings.prefix, group)
        expected = None if heard is None or self._again is None else heard | {self._again}
        self.tray = Tray()
        own = Own(self._again, min(heard)) if heard and self._again is not None else None
        self._sharing = Sharing(settings, self.tray, group, self._choose, expected=expected, own=own)
        self._thread: DedicatedThread | None = None
        self._done: asyncio.Future[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._is_leaving = False

    async def join(self, start: str) -> None:
        """Begin; where a new group begins is known when this returns.

        Raises:
            BrokerError: it failed, or nobody answered.
        """
        self._thread = DedicatedThread("tidings-kafka-inbox")
        with closing_told(self._settings.url):
            await self._begin(self._thread, start)

    async def leave(self) -> None:
        """Commit what is settled, give the partitions away and end; a server that does not answer is not waited for.

        The client cannot be closed while a commit of its is on the way to a server that is gone. Its thread, which is
        nobody's then, ends when that server is back, or the process is over.
        """
        thread = self._thread
        if thread is None or self._is_leaving:
            return
        self._is_leaving = True
        self._sharing.close()
        done = self._done or thread.call(self._sharing.end)
        thread.close(wait=False)  # it ends after that, also when nobody has the time to wait for it
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.timeout):
                await asyncio.shield(done)

    async def _begin(self, thread: DedicatedThread, start: str) -> None:
        listening = f"{self._settings.prefix}listening.{uuid.uuid4().hex}"
        name = listening if self._group is None else self._settings.prefix + self._group
        client()
        await thread.call(partial(self._sharing.open, name))
        if self._again is None:
            ends = await self._ends()
            await self._call(partial(self._sharing.begin, list(ends.items())))
        else:
            await self._topics.exist({self._again, *(self._heard or ())})
            if start == "latest":
                await self._begin_at_the_end(self._again)
        self._done = thread.call(self._sharing.run)
        self._fetching = asyncio.create_task(Fetching(self._settings, self._topics, self.tray).run())

    async def _begin_at_the_end(self, again: str) -> None:
        if not await self._call(partial(self._sharing.is_known, again)):
            ends = await self._ends()
            await self._call(partial(self._sharing.record, [*ends.items(), ((again, 0), 0)]))

    async def _ends(self) -> dict[tuple[str, int], int]:
        known = await self._topics.all()
        chosen = [topic for topic in self._choose(known) if topic != self._again]
        return await self._topics.ends((topic, number) for topic in chosen for number in range(known[topic]))

    async def _call(self, function: "partial[Result]") -> Result:
        assert self._thread is not None
        try:
            return await self._thread.call(function)
        except client().KafkaException as raised:
            raise failure(self._settings.url, error_in(raised), "beginning") from None

    def _choose(self, topics: Iterable[str]) -> list[str]:
        """Of all topics, those to read: of the channels that are heard, and of what the group hears again."""
        prefix, heard = self._settings.prefix, self._heard
        chosen = [
            topic
            for topic in topics
            if topic == self._again or (channel_of(prefix, topic) is not None if heard is None else topic in heard)
        ]
        return sorted(chosen)
