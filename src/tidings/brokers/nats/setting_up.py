"""What a server lacks of what an application needs: streams of channels, consumers of groups."""

from tidings.brokers.interface import Difference, Wanted
from tidings.brokers.nats.carrier import Carrier
from tidings.brokers.nats.consumers import AGAIN, Consumers, places_of
from tidings.brokers.nats.records import note_known


class SettingUp:
    """One look, or one making."""

    def __init__(self, carrier: Carrier, *, apply: bool) -> None:
        self._carrier = carrier
        self._apply = apply

    async def differences(self, wanted: Wanted) -> list[Difference]:
        """Of channels, and then of groups."""
        found: list[Difference] = []
        for channel in wanted.channels:
            found += await self._carrier.streams.differences(channel, apply=self._apply)
        for group, patterns in wanted.groups:
            heard = self._carrier.channels.heard(patterns)
            found += await self._of_group(group, sorted(wanted.channels if heard is None else heard))
        return found

    async def _of_group(self, group: str, heard: list[str]) -> list[Difference]:
        carrier, streams = self._carrier, self._carrier.streams
        if self._apply:
            await streams.own()
            partitions = {channel: await streams.partitions(channel) for channel in heard}
        else:
            partitions = {channel: await streams.count(channel) for channel in heard}
        consumers = Consumers(carrier.wire, carrier.names, group)
        places = places_of(partitions | {AGAIN: 1})
        missing = await consumers.missing(places)
        if not missing:
            return []
        if self._apply:
            await consumers.have(places, "earliest")
            await note_known(carrier.wire, carrier.names, group)
        told = f"{len(missing)} of {len(places)} consumers"
        return [Difference(f"group {group}", "created" if self._apply else "missing", told)]
