"""How groups stand: what their consumers have still to hand over, how many members live, and their dead letters."""

from tidings.brokers.interface import Standing
from tidings.brokers.nats.carrier import Carrier
from tidings.brokers.nats.names import group_of, plain
from tidings.brokers.nats.records import Records
from tidings.brokers.nats.wire import NO_STREAM, JetStreamError


class Survey:
    """One look at all groups."""

    def __init__(self, carrier: Carrier) -> None:
        self._wire = carrier.wire
        self._names = carrier.names
        self._streams = carrier.streams
        self._letters = carrier.letters

    async def groups(self) -> list[Standing]:
        """By name."""
        lags: dict[str, int] = {}
        for channel in await self._streams.existing():
            await self._add_lags(self._names.stream(channel), lags)
        try:
            await self._add_lags(self._names.letters, lags)
        except JetStreamError as error:
            if error.code != NO_STREAM:
                raise
        dead = {plain(subject.rpartition(".")[2]): count for subject, count in (await self._letters.counts()).items()}
        return [
            Standing(group, lag, await self._members(group), dead.get(group, 0)) for group, lag in sorted(lags.items())
        ]

    async def _add_lags(self, stream: str, lags: dict[str, int]) -> None:
        async for info in self._wire.listed(f"CONSUMER.LIST.{stream}", "consumers"):
            if info["config"].get("durable_name"):
                group = group_of(info["name"])
                lags[group] = lags.get(group, 0) + info["num_pending"] + info["num_ack_pending"]

    async def _members(self, group: str) -> int:
        """Those that showed themselves within a session before now, by the server's clock."""
        records = Records(self._wire, await self._wire.link(), self._names, group, _unmoved)
        link = await self._wire.link()
        try:
            await records.begin()
            await records.read_up_to(await records.write(("looked",), {}))
        finally:
            link.send(records.end())
        now = records.notes["looked",].time
        living = [key for key, note in records.notes.items() if key[0] == "member" and note.said]
        return sum(records.notes[key].time >= now - self._wire.settings.session for key in living)


def _unmoved() -> None:
    """Nobody waits for what changes."""
