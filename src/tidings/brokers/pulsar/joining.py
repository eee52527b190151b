"""How a member joins its group: one consumer for all the topics it hears, known or yet to come, and the group's own."""

from collections.abc import Collection
from typing import Any

from tidings.brokers.pulsar.library import core
from tidings.brokers.pulsar.link import Link
from tidings.brokers.pulsar.names import again_topic_of, pattern_of, topic_of
from tidings.brokers.pulsar.settings import Settings

_DRAIN = 2  # milliseconds to wait for more, once something has come
_AT_ONCE = 500  # messages
_QUEUED = 1000  # that the server sends ahead, at most


class Joining:
    """What one member subscribes to."""

    def __init__(self, settings: Settings, link: Link, group: str, prefetch: int) -> None:
        self._settings = settings
        self._link = link
        self._group = group
        self._prefetch = prefetch
        self._name = settings.prefix + group

    async def join(self, channels: Collection[str] | None, start: str) -> Any:
        """A consumer of these channels, or of any; a new group begins at `start`.

        A channel that comes up later is heard from its beginning, whatever the group's start. So who begins at the end
        subscribes twice: first to what there is, from its end.
        """
        settings, client = self._settings, self._link.client
        own = again_topic_of(settings, self._group)
        if channels:
            topics = [*(topic_of(settings, each) for each in sorted(channels)), own]
            return await self._subscribe(client.subscribe_async_topics, topics, start)
        await self._visit(client.subscribe_async, own, "earliest")  # before anybody puts something there
        pattern = pattern_of(settings, self._group)
        if start == "latest":
            await self._visit(client.subscribe_async_pattern, pattern, start)
        return await self._subscribe(client.subscribe_async_pattern, pattern, "earliest")

    async def _visit(self, call: Any, what: str, start: str) -> None:
        consumer = await self._subscribe(call, what, start)
        await self._link.answer("letting go of a subscription", consumer.close_async)

    async def _subscribe(self, call: Any, what: str | list[str], start: str) -> Any:
        configuration = self._configuration(start)
        return await self._link.answer(f"joining {self._group!r}", call, what, self._name, configuration)

    def _configuration(self, start: str) -> Any:
        pulsar = core()
        positions = pulsar.InitialPosition
        configuration = pulsar.ConsumerConfiguration()
        configuration.consumer_type(pulsar.ConsumerType.KeyShared)
        configuration.subscription_initial_position(positions.Latest if start == "latest" else positions.Earliest)
        configuration.receiver_queue_size(max(min(self._prefetch, _QUEUED), 1))
        configuration.pattern_auto_discovery_period(self._settings.discovery)
        configuration.batch_receive_policy(pulsar.BatchReceivePolicy(_AT_ONCE, -1, _DRAIN))
        return configuration
