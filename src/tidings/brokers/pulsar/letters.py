"""The dead letters of all groups: messages in one topic, with the group and the reason in their properties.

A subscription that never reads keeps them, whatever the server keeps otherwise. A letter that was decided about is
followed by an empty message that names it; then both are acknowledged, after which the server may forget them.
"""

import asyncio
from typing import Any, Final

from tidings.brokers.interface import Arrival, DeadLetter
from tidings.brokers.pulsar.failures import failure
from tidings.brokers.pulsar.library import core
from tidings.brokers.pulsar.link import Link
from tidings.brokers.pulsar.names import again_topic_of, dead_topic_of
from tidings.brokers.pulsar.outlet import Outlet
from tidings.brokers.pulsar.settings import Settings
from tidings.brokers.pulsar.wire import ATTEMPTS, OWN, Outgoing, Wire, attempts_in, properties_of
from tidings.errors import BrokerUnreachable

_GROUP: Final = OWN + "group"
_REASON: Final = OWN + "reason"
_DETAIL: Final = OWN + "detail"
_RESOLVES: Final = OWN + "resolves"
_KEEPER: Final = "letters"  # the subscription that keeps them
_LONGEST: Final = 16_000  # characters of a reason's detail; its end, which says most, is kept


class Letters:
    """The topic of dead letters, by one link."""

    def __init__(self, settings: Settings, link: Link, outlet: Outlet, wire: Wire) -> None:
        self._settings = settings
        self._link = link
        self._outlet = outlet
        self._wire = wire
        self._topic = dead_topic_of(settings)
        self._is_kept = False

    async def write(self, group: str, arrival: Arrival, reason: str, detail: str) -> None:
        """Keep the arrival's message."""
        if not self._is_kept:
            await self._settle()
            self._is_kept = True
        said = {_GROUP: group, _REASON: reason[:1000], _DETAIL: detail[-_LONGEST:], ATTEMPTS: str(arrival.attempt)}
        await self._outlet.send([self._wire.copied(arrival.ticket[1], self._topic, said)])

    async def read(self, group: str | None) -> list[DeadLetter]:
        """Those that nobody has decided about."""
        try:
            async with asyncio.timeout(4 * self._settings.timeout):
                found = await asyncio.to_thread(self._read)
        except TimeoutError:
            raise BrokerUnreachable(self._settings.url, "reading dead letters took too long") from None
        return [letter for each in found if group in (None, (letter := self._letter(each)).group)]

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Put it on its group's own topic, or drop it; then note the decision."""
        message = letter.ticket
        if again:
            topic = again_topic_of(self._settings, letter.group)
            await self._outlet.send([self._wire.copied(message, topic, {ATTEMPTS: str(letter.attempts)})])
        named = {_RESOLVES: _name_of(message), _GROUP: letter.group}
        [note] = await self._outlet.send([Outgoing(self._topic, letter.group, b"", named)])
        await self._settle(message.message_id(), note)

    async def _settle(self, *ids: Any) -> None:
        """Acknowledge these for the subscription that keeps all others; it is made where it is not there."""
        pulsar = core()
        configuration = pulsar.ConsumerConfiguration()
        configuration.consumer_type(pulsar.ConsumerType.Shared)
        configuration.subscription_initial_position(pulsar.InitialPosition.Earliest)
        configuration.receiver_queue_size(1)
        name = self._settings.prefix + _KEEPER
        doing, link = "keeping dead letters", self._link
        consumer = await link.answer(doing, link.client.subscribe_async, self._topic, name, configuration)
        for id in ids:
            await link.answer(doing, consumer.acknowledge_async, id)
        await link.answer(doing, consumer.close_async)

    def _read(self) -> list[Any]:
        """The messages from beginning to end, without those that were decided about. Blocks."""
        pulsar = core()
        wait = max(int(self._settings.timeout * 1000), 1)
        found: dict[str, Any] = {}
        try:
            reader = self._link.client.create_reader(
                self._topic, pulsar.MessageId.earliest, pulsar.ReaderConfiguration()
            )
            while reader.has_message_available():
                message = reader.read_next(wait)
                properties = properties_of(message)
                if _RESOLVES in properties:
                    found.pop(properties[_RESOLVES], None)
                else:
                    found[_name_of(message)] = message
            reader.close()
        except pulsar.PulsarException as raised:
            raise failure(self._settings.url, raised, "reading dead letters") from None
        return list(found.values())

    def _letter(self, message: Any) -> DeadLetter:
        properties = properties_of(message)
        return DeadLetter(
            properties.get(_GROUP, ""),
            self._wire.arrival(message).event,
            properties.get(_REASON, ""),
            properties.get(_DETAIL, ""),
            attempts_in(properties),
            message,
        )


def _name_of(message: Any) -> str:
    id = message.message_id()
    return f"{id.ledger_id()}:{id.entry_id()}:{id.batch_index()}"
