"""How groups stand, and what is missing of what an application needs; both as the administration tells it."""

from collections import Counter
from typing import Final

from tidings.brokers.channels import Channels
from tidings.brokers.interface import Difference, Standing, Wanted
from tidings.brokers.pulsar.administration import Administration
from tidings.brokers.pulsar.names import again_topic_of, channel_of, topic_of
from tidings.brokers.pulsar.settings import Settings

LISTENING: Final = "listening."  # what the names of those begin with who listen without a group


async def standings(settings: Settings, administration: Administration, dead: Counter[str]) -> list[Standing]:
    """The groups whose subscriptions begin with our prefix."""
    lags, members, shown = Counter[str](), dict[str, int](), set[str]()
    start = settings.prefix + LISTENING
    for topic in await administration.topics():
        for name, each in (await administration.subscriptions(topic)).items():
            group = name.removeprefix(settings.prefix)
            is_ours = name.startswith(settings.prefix) and not name.startswith(start)
            if is_ours and _is_of(settings, topic, group):
                shown.add(group)
                lags[group] += each.get("msgBacklog", 0)
                members[group] = max(members.get(group, 0), len(each.get("consumers", ())))
    return [Standing(group, lags[group], members[group], dead[group]) for group in sorted(shown)]


async def differences(
    settings: Settings, administration: Administration, channels: Channels, wanted: Wanted, *, apply: bool
) -> list[Difference]:
    """What is missing or differs; with `apply`, what is missing is made."""
    found = await _retention(settings, administration, apply=apply)
    topics = await administration.topics()
    present = {topic.partition("-partition-")[0] for topic in topics}
    needed = {topic_of(settings, channel) for channel in wanted.channels}
    for _, patterns in wanted.groups:
        needed |= {topic_of(settings, channel) for channel in channels.heard(patterns) or ()}
    for topic in sorted(needed - present):
        if apply:
            await administration.make(topic)
        found.append(Difference(f"topic {_short(topic)}", "created" if apply else "missing"))
    ours = [topic for topic in topics if channel_of(settings, topic) is not None]
    return [*found, *[each for topic in ours for each in await _left_behind(settings, administration, topic)]]


async def _left_behind(settings: Settings, administration: Administration, topic: str) -> list[Difference]:
    """The subscriptions of listeners that were killed: Pulsar keeps events for them."""
    told = "its listener was killed, and events are kept for it: 'pulsar-admin topics unsubscribe' removes it"
    subscriptions = await administration.subscriptions(topic)
    return [
        Difference(f"subscription {name} of topic {_short(topic)}", "differs", told)
        for name, each in sorted(subscriptions.items())
        if name.startswith(settings.prefix + LISTENING) and not each.get("consumers")
    ]


async def _retention(settings: Settings, administration: Administration, *, apply: bool) -> list[Difference]:
    wanted = settings.retention
    if not wanted:
        return []
    kept, what = await administration.retention(), f"retention of namespace {settings.namespace}"
    if kept == 0:
        if apply:
            await administration.retain(wanted)
        told = f"{_time(wanted)} wanted, none found: what was published before a group began would be lost to it"
        return [Difference(what, "created" if apply else "missing", told)]
    if kept < 0 or 0 < wanted <= kept:
        return []
    return [Difference(what, "differs", f"{_time(wanted)} wanted, {_time(kept)} found")]


def _is_of(settings: Settings, topic: str, group: str) -> bool:
    """Not another prefix's that ours is the beginning of, nor the keeper of dead letters."""
    name = topic.rpartition("/")[2]
    return name.startswith(settings.prefix) and ("~" not in name or topic == again_topic_of(settings, group))


def _time(seconds: float) -> str:
    return "for ever" if seconds < 0 else f"{seconds:g} s"


def _short(topic: str) -> str:
    return topic.rpartition("/")[2]
