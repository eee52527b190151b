"""The topics of a Kafka: which there are, how far they reach, and making those that are missing."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from tidings.brokers.interface import Difference
from tidings.brokers.kafka.failures import UNKNOWN_TOPIC, Whispers, closing_told, error_in, failure
from tidings.brokers.kafka.library import administration, client, made
from tidings.brokers.kafka.names import AGAIN, DEAD
from tidings.brokers.kafka.progress import Place
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.source import Server
from tidings.brokers.reaching import encryption
from tidings.concurrency import DedicatedThread
from tidings.errors import BrokerUnreachable, ConfigurationError

_COMPACT: Final = {"cleanup.policy": "compact"}
_FOR_EVER: Final = "-1"


class Topics:
    """Asks and tells Kafka about topics, over a connection of its own that is made when it is needed."""

    def __init__(self, settings: Settings, thread: DedicatedThread) -> None:
        self._settings = settings
        self._thread = thread  # for what blocks
        self._admin: Any = None
        self._whispers = Whispers()
        self._known: set[str] = set()

    async def exist(self, topics: Iterable[str]) -> None:
        """Make those that are not there.

        Raises:
            BrokerError: they cannot be made, or nobody answered.
        """
        unseen = set(topics) - self._known
        if not unseen:
            return
        missing = unseen - set(await self.all())
        await asyncio.gather(*(self._make(topic) for topic in sorted(missing)))
        self._known |= unseen

    def forget(self) -> None:
        """Look again at the next need: one may have been deleted."""
        self._known.clear()

    async def all(self) -> dict[str, int]:
        """Every topic, and how many partitions it has.

        Raises:
            BrokerUnreachable: nobody answered.
        """
        found = await self._metadata()
        return {name: len(each.partitions) for name, each in found.topics.items()}

    async def leaders(self, topics: Iterable[str]) -> dict[Place, Server]:
        """Which server each partition of these is to be asked for; none for those that nobody leads just now.

        It is asked without the thread, in which publishing and dead letters may wait for a server that is away.

        Raises:
            BrokerError: nobody answered.
        """
        wanted = client().TopicCollection(sorted(topics))
        asked = self.admin.describe_topics(wanted, request_timeout=self._settings.timeout)
        found: dict[Place, Server] = {}
        for topic, future in asked.items():
            with contextlib.suppress(Gone):
                for it in (await self.answer(future, "asking who leads")).partitions:
                    if it.leader is not None and it.leader.host:
                        found[topic, it.id] = Server(it.leader.id, it.leader.host, it.leader.port)
        return found

    async def beginnings(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset of the first message that each partition still has; none for those that are gone."""
        return await self._offsets(places, administration().OffsetSpec.earliest())

    async def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset that the next message of each partition will have; none for those that are gone."""
        return await self._offsets(places, administration().OffsetSpec.latest())

    async def _offsets(self, places: Iterable[Place], which: Any) -> dict[Place, int]:
        kafka = client()
        wanted = {kafka.TopicPartition(*place): which for place in places}
        if not wanted:
            return {}
        asked = self.admin.list_offsets(wanted, request_timeout=self._settings.timeout)
        found: dict[Place, int] = {}
        for place, future in asked.items():
            try:
                found[place.topic, place.partition] = (await self.answer(future, "asking how far topics reach")).offset
            except Gone:
                continue
        return found

    async def differences(self, channels: Sequence[str], others: Sequence[str], *, apply: bool) -> list[Difference]:
        """What is missing or differs of the topics of channels, and what is missing of those of groups."""
        found = (await self._metadata()).topics
        differing: list[Difference] = []
        for topic in (*channels, *others):
            if topic not in found:
                if apply:
                    await self._make(topic)
                differing.append(Difference(f"topic {topic}", "created" if apply else "missing"))
        present = [topic for topic in channels if topic in found]
        for topic, said in (await self._configurations(present)).items():
            if detail := self._detail(found[topic], said):
                differing.append(Difference(f"topic {topic}", "differs", detail))
        return differing

    async def answer(self, future: "Future[Any]", doing: str) -> Any:
        """What a request of the client came to.

        Raises:
            Gone: the topic is not there.
            BrokerError: it failed, or nobody answered.
        """
        kafka = client()
        try:
            async with asyncio.timeout(self._settings.timeout + 1):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise BrokerUnreachable(self._settings.url, f"no answer in time, {doing}") from None
        except kafka.KafkaException as raised:
            error = error_in(raised)
            if error.name() in UNKNOWN_TOPIC:
                raise Gone(error.str()) from None
            raise failure(self._settings.url, error, doing) from None

    @property
    def admin(self) -> Any:
        """The client's administrator."""
        if self._admin is None:
            said = self._settings.admin() | {"error_cb": self._whispers}
            self._admin = made(administration().AdminClient, said, self._settings.url)
        return self._admin

    def close(self) -> None:
        """Let go of the connection."""
        self._admin = None
        self._known.clear()

    async def _metadata(self) -> Any:
        kafka, self._whispers.last = client(), ""
        try:
            with closing_told(self._settings.url):
                return await self._thread.call(self._ask)
        except kafka.KafkaException as raised:
            raise failure(self._settings.url, error_in(raised), "asking for topics", self._whispers) from None

    def _ask(self) -> Any:
        """Blocks."""
        if self._admin is None and self._settings.is_secret:
            encryption(self._settings.address)  # the client does not say which file it cannot read
        try:
            return self.admin.list_topics(timeout=self._settings.timeout)
        finally:
            self.admin.poll(0)  # it has something to say

    async def _make(self, topic: str) -> None:
        settings = self._settings
        new = administration().NewTopic(
            topic,
            num_partitions=1 if topic.endswith((AGAIN, DEAD)) else settings.partitions,
            replication_factor=settings.replication,
            config=self._wanted(topic),
        )
        [future] = self.admin.create_topics([new], request_timeout=settings.timeout).values()
        try:
            await self.answer(_unless_there(future), f"making the topic {topic!r}")
        except Gone as error:
            raise ConfigurationError(f"{settings.url}: the topic {topic!r} cannot be made: {error}") from None

    def _wanted(self, topic: str) -> dict[str, str]:
        if topic.endswith(DEAD):
            return dict(_COMPACT)
        retention = self._settings.retention
        if topic.endswith(AGAIN) or retention < 0:
            return {"retention.ms": _FOR_EVER}
        return {"retention.ms": str(int(retention * 1000))} if retention else {}

    async def _configurations(self, topics: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        admin = administration()
        if not topics or not self._settings.retention:
            return {topic: {} for topic in topics}
        asked = self.admin.describe_configs(
            [admin.ConfigResource(admin.RESOURCE_TOPIC, topic) for topic in topics],
            request_timeout=self._settings.timeout,
        )
        return {it.name: await self.answer(future, "asking for topics' settings") for it, future in asked.items()}

    def _detail(self, found: Any, said: Mapping[str, Any]) -> str:
        settings, details = self._settings, []
        if (count := len(found.partitions)) != settings.partitions:
            details.append(f"{settings.partitions} partitions wanted, {count} found: keys stay where {count} put them")
        copies = min((len(each.replicas) for each in found.partitions.values()), default=0)
        if settings.replication not in (-1, copies):
            details.append(f"{settings.replication} copies wanted, {copies} found")
        wanted = self._wanted("").get("retention.ms")
        kept = said["retention.ms"].value if "retention.ms" in said else None
        if wanted is not None and kept != wanted:
            details.append(f"retention.ms={wanted} wanted, {kept} found")
        return "; ".join(details)


class Gone(Exception):
    """A topic is not there."""


def _unless_there(future: "Future[Any]") -> "Future[Any]":
    """The future, in which it is no failure that somebody else was quicker."""
    shown: Future[Any] = Future()

    def show(done: "Future[Any]") -> None:
        error = done.exception()
        if error is None or error.args[0].name() == "TOPIC_ALREADY_EXISTS":
            shown.set_result(None)
        else:
            shown.set_exception(error)

    future.add_done_callback(show)
    return shown
