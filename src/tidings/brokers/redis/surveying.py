"""What a server lacks of what an application wants of it, and which of its settings make a promise worth less."""

from collections.abc import Iterator
from typing import Any, Final

from tidings.brokers.channels import Channels
from tidings.brokers.interface import Difference, Wanted
from tidings.brokers.redis import scripts
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.link import packed
from tidings.brokers.redis.membership import heard_text
from tidings.brokers.redis.wire import Wire

_NEEDED: Final = 7  # the major version that ends a read when a stream it waits for goes away
_SAFE_POLICIES: Final = ("noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl")


async def survey(wire: Wire, keys: Keys, channels: Channels, wanted: Wanted, *, apply: bool) -> list[Difference]:
    """The differences; with `apply`, what is missing is made.

    Raises:
        BrokerError: the server did not say.
    """
    hashes = [packed("HGETALL", keys.channels), packed("HGETALL", keys.groups)]
    known_channels, known_groups = map(_texts, await wire.ask(hashes))
    found = list(_of_server(await _settings(wire)))
    for channel in wanted.channels:
        found += await _of_channel(wire, channel, known_channels.get(channel), apply=apply)
    for group, patterns in wanted.groups:
        heard = heard_text(channels.heard(patterns))
        if group not in known_groups:
            if apply:
                await wire.run(scripts.GROUP, group, heard, "0")
            found.append(Difference(f"group {group}", "created" if apply else "missing"))
    return found


async def _of_channel(wire: Wire, channel: str, partitions: str | None, *, apply: bool) -> list[Difference]:
    wanted, what = wire.settings.partitions, f"streams of channel {channel}"
    if partitions is None:
        if apply:
            await wire.run(scripts.CHANNEL, channel, wanted)
        return [Difference(what, "created" if apply else "missing", f"{wanted} partitions")]
    if int(partitions) == wanted:
        return []
    why = "more of them would tear the keys apart: make a channel of another name"
    return [Difference(what, "differs", f"{wanted} partitions wanted, {partitions} found: {why}")]


async def _settings(wire: Wire) -> dict[str, str]:
    """What the server says of itself; who may not ask for its configuration learns the rest."""
    link = await wire.link()
    asked = [("INFO", "server"), ("INFO", "persistence"), ("INFO", "memory"), ("CONFIG", "GET", "appendfsync")]
    answers = await link.wait(link.ask(b"".join(packed(*each) for each in asked), len(asked)))
    said: dict[str, str] = {}
    for answer in answers:
        if isinstance(answer, bytes):
            lines = [line.partition(":") for line in answer.decode().splitlines() if ":" in line]
            said |= {name: value for name, _, value in lines}
        elif isinstance(answer, list):
            said |= _texts(answer)
    return said


def _of_server(said: dict[str, str]) -> Iterator[Difference]:
    version, policy = said.get("redis_version", ""), said.get("maxmemory_policy", "noeviction")
    if version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < _NEEDED:
        why = f"{_NEEDED} or newer is needed: a member that stood still may take events from its successor"
        yield Difference("server version", "differs", f"{version} found, {why}")
    if said.get("aof_enabled", "1") == "0":
        why = "acknowledged events are lost when the server ends; say appendonly yes"
        yield Difference("server appendonly", "differs", f"no: {why}")
    elif said.get("appendfsync", "always") != "always":
        why = "acknowledged events may be lost with the machine; say appendfsync always"
        yield Difference("server appendfsync", "differs", f"{said['appendfsync']}: {why}")
    if policy not in _SAFE_POLICIES:
        why = "it removes streams, with their events, when memory is short; say maxmemory-policy noeviction"
        yield Difference("server maxmemory-policy", "differs", f"{policy}: {why}")


def _texts(flat: list[Any]) -> dict[str, str]:
    texts = [each.decode() for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
