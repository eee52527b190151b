"""The streams of channels: made when first published to or heard, found again, and compared with what is wanted."""

from typing import Any

from tidings.brokers.interface import Difference
from tidings.brokers.nats.names import Names
from tidings.brokers.nats.wire import NO_STREAM, JetStreamError, Wire
from tidings.errors import BrokerError

_TAKEN = 10058  # the name is: somebody made it meanwhile
_NANO = 1_000_000_000


class Streams:
    """What is known of them; a connection that was lost forgets it."""

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._names = names
        self._known: dict[str, int] = {}  # channel -> partitions

    def known(self, channel: str) -> int | None:
        """How many partitions it has, if that was seen before."""
        return self._known.get(channel)

    async def partitions(self, channel: str) -> int:
        """How many it has; the channel is made if there is none."""
        found = self._known.get(channel)
        if found is None:
            config = await self.config(channel)
            if config is None:
                config = await self._made(self._wanted(channel))
            found = self._known[channel] = _count(config)
        return found

    async def count(self, channel: str) -> int:
        """How many partitions it has, or would have."""
        config = await self.config(channel)
        return self._wire.settings.partitions if config is None else _count(config)

    async def config(self, channel: str) -> dict[str, Any] | None:
        """How its stream is set, if there is one."""
        return await self._found(self._names.stream(channel))

    async def existing(self) -> frozenset[str]:
        """The channels that there are."""
        names = self._wire.listed("STREAM.NAMES", "streams", subject=self._names.every_channel())
        return frozenset([channel async for name in names if (channel := self._names.channel(name)) is not None])

    async def own(self) -> None:
        """Have the two streams that groups need beside the channels."""
        names, settings = self._names, self._wire.settings
        kept = {"storage": "file", "retention": "limits", "num_replicas": settings.replicas, "discard": "old"}
        for name, subjects, most in (
            (names.records, [names.every_record()], 1),
            (names.letters, [names.dead(None), names.again(None)], -1),
        ):
            if await self._found(name) is None:
                await self._made({"name": name, "subjects": subjects, "max_msgs_per_subject": most, **kept})

    async def differences(self, channel: str, *, apply: bool) -> list[Difference]:
        """What it lacks of what the URL says."""
        what, config = f"stream {self._names.stream(channel)}", await self.config(channel)
        if config is None:
            if not apply:
                return [Difference(what, "missing")]
            await self.partitions(channel)
            return [Difference(what, "created")]
        return [Difference(what, "differs", detail) for detail in _told(self._wanted(channel), config)]

    def forget(self) -> None:
        """What was known may be so no more."""
        self._known.clear()

    def _wanted(self, channel: str) -> dict[str, Any]:
        settings, names = self._wire.settings, self._names
        age = 0 if settings.age is None else int(settings.age * _NANO)
        window = int(settings.window * _NANO)
        return {
            "name": names.stream(channel),
            "subjects": [names.partition(channel, number) for number in range(settings.partitions)],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": age,
            "num_replicas": settings.replicas,
            "duplicate_window": min(window, age) if age else window,
        }

    async def _found(self, stream: str) -> dict[str, Any] | None:
        try:
            info = await self._wire.api(f"STREAM.INFO.{stream}")
        except JetStreamError as error:
            if error.code == NO_STREAM:
                return None
            raise
        config: dict[str, Any] = info["config"]
        return config

    async def _made(self, wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            info = await self._wire.api(f"STREAM.CREATE.{wanted['name']}", wanted)
        except JetStreamError as error:
            found = await self._found(wanted["name"]) if error.code == _TAKEN else None
            if found is None:
                raise
            return found
        config: dict[str, Any] = info["config"]
        return config


def _count(config: dict[str, Any]) -> int:
    """Its partitions: it has a subject for each."""
    subjects = config.get("subjects") or []
    if not subjects or any(not each.endswith(f".{number}.>") for number, each in enumerate(subjects)):
        told = f"stream {config['name']} is none of tidings', as its subjects are {subjects}"
        raise BrokerError(f"{told}: give the URL another ?prefix=, or the channel another name")
    return len(subjects)


def _told(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    told = []
    if (want := _count(wanted)) != (has := _count(found)):
        told.append(f"{want} partitions wanted, {has} found: with another number keys would change their partition")
    for name, unit in (("max_age", _NANO), ("num_replicas", 1), ("duplicate_window", _NANO)):
        if wanted[name] != found.get(name, 0):
            told.append(f"{name} {wanted[name] / unit:g} wanted, {found.get(name, 0) / unit:g} found")
    return told
