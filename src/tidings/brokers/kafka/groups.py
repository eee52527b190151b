"""How groups stand: their commits against the ends of the partitions these are of."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tidings.brokers.interface import Standing
from tidings.brokers.kafka.library import client
from tidings.brokers.kafka.progress import Place
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.kafka.topics import Topics


async def standings(topics: Topics, settings: Settings, dead: Counter[str]) -> list[Standing]:
    """The groups whose names begin with our prefix.

    Raises:
        BrokerError: nobody told.
    """
    asking = topics.admin.list_consumer_groups(request_timeout=settings.timeout)
    found = (await topics.answer(asking, "asking for groups")).valid
    names = sorted(each.group_id for each in found if each.group_id.startswith(settings.prefix))
    if not names:
        return []
    members, commits = await asyncio.gather(
        _members(topics, settings, names), asyncio.gather(*(_commits(topics, settings, name) for name in names))
    )
    ends = await topics.ends({place for each in commits for place in each})
    shown = [name.removeprefix(settings.prefix) for name in names]
    return [
        Standing(name, _lag(each, ends), members[full], dead[name])
        for name, full, each in zip(shown, names, commits, strict=True)
    ]


def _lag(commits: Mapping[Place, int], ends: Mapping[Place, int]) -> int:
    return sum(max(ends[place] - offset, 0) for place, offset in commits.items() if place in ends)


async def _members(topics: Topics, settings: Settings, names: list[str]) -> dict[str, int]:
    asked = topics.admin.describe_consumer_groups(names, request_timeout=settings.timeout)
    return {name: len((await topics.answer(future, "asking for members")).members) for name, future in asked.items()}


async def _commits(topics: Topics, settings: Settings, name: str) -> dict[Place, int]:
    wanted = client().ConsumerGroupTopicPartitions(name)
    [future] = topics.admin.list_consumer_group_offsets([wanted], request_timeout=settings.timeout).values()
    told: Any = await topics.answer(future, "asking how far groups are")
    return {(each.topic, each.partition): each.offset for each in told.topic_partitions if each.offset >= 0}
