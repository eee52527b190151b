"""`Part`: what one member has of a group, a session with the messages that wait in it, over a link of its own.

MQTT asks for acknowledgements in the order in which messages came. So what is settled out of order is acknowledged once
all before it is, and what was not comes again in order with all behind it.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from tidings.brokers.mqtt.dialing import Life
from tidings.brokers.mqtt.link import Link
from tidings.brokers.mqtt.names import is_ours
from tidings.brokers.mqtt.settings import Settings
from tidings.errors import BrokerError, BrokerUnreachable

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_FOREIGN = 2  # the number of the subscription to what others put on a channel


class Place(msgspec.Struct, eq=False, gc=False):
    """Where a message lies: the ticket of an arrival."""

    part: "Part"
    mid: int  # 0: sent without asking for an acknowledgement
    in_hand: bool = False
    settled: bool = False


class Hearing(msgspec.Struct, frozen=True):
    """What a session selects."""

    filters: list[str]
    foreign: list[str]  # the topics of others, which partitions do not divide
    retained: int  # MQTT's retain handling


class Part:
    """A session, opened. `heard` gets each message with its place, `lost` the part when its link is."""

    def __init__(
        self,
        settings: Settings,
        life: Life,
        heard: "Callable[[Place, MQTTMessage], None]",
        lost: "Callable[[Part, BrokerUnreachable], None]",
    ) -> None:
        self._settings = settings
        self._lasts = life.expiry > 0
        self._heard = heard
        self._lost = lost
        self._places: deque[Place] = deque()
        self._link = Link(settings, life, self._take, self._end)
        self._told = self._known = (
            0  # acknowledgements: those said, and those of which it is sure that the server knows
        )
        self._is_late = False  # was anything settled after the link had ended?
        self.in_hand = 0
        self.failure: BrokerUnreachable | None = None  # of its link, unless another member has the session now
        self.is_leaving = False  # it hands over nothing more
        self.is_over = False  # it is let go of, or lost
        self.was_had = False  # has it been this member's at all?

    async def open(self) -> None:
        """Have the session, whoever had it.

        Raises:
            BrokerError: the server did not give it.
        """
        await self._link.open()
        self.was_had = True

    async def hear(self, hearing: Hearing) -> None:
        """Have the session select this; what it selected before it goes on to.

        Raises:
            BrokerError: the server refused.
        """
        if hearing.filters:
            await self._link.subscribe(hearing.filters, retained=hearing.retained)
        if hearing.foreign:
            await self._link.subscribe(hearing.foreign, retained=hearing.retained, number=_FOREIGN)

    def settle(self, place: Place) -> None:
        """A message need not come again."""
        if not place.settled:
            place.settled = True
            self.in_hand -= place.in_hand
            self._is_late = self._is_late or self._link.failure is not None

    def acknowledge(self) -> None:
        """Tell the server of all up to the first that is not settled."""
        places, mids = self._places, []
        while places and places[0].settled:
            mids.append(places.popleft().mid)
        self._link.acknowledge(mids)
        self._told += len(mids)

    @property
    def is_known(self) -> bool:
        """Has the server said so of all that it was told? Of a session that ends with its link it need not."""
        return not self._is_late and (self._told == self._known or not self._lasts)

    async def confirm(self) -> None:
        """Returns when the server knows all that it was told.

        Raises:
            BrokerError: it did not say so, and some of it may come again.
        """
        told = self._told
        await self._link.flush()
        self._known = max(self._known, told)

    def outstanding(self) -> list[Place]:
        """What was handed over and is not settled."""
        return [place for place in self._places if place.in_hand and not place.settled]

    async def leave(self) -> bool:
        """Let go of the session, which others may have once the server knows all that is settled.

        A server may read its connections in turn, a packet at a time: who takes a session over by a new connection is
        then heard before the acknowledgements that wait in the old one. Returns whether the server answered; where it
        did not, some of what is settled may come again.
        """
        self.is_over = self.is_leaving = True
        try:
            if self._lasts:
                await self.confirm()
            await self._link.leave()
        except BrokerError:
            return False
        finally:
            self._link.cut()
        return True

    def cut(self) -> None:
        """Let go of it without a word."""
        self.is_over = self.is_leaving = True
        self._link.cut()

    def _take(self, message: "MQTTMessage") -> None:
        place = Place(self, message.mid)
        if message.qos:
            self._places.append(place)
        said = getattr(message.properties, "SubscriptionIdentifier", None)
        if said and _FOREIGN in said and is_ours(self._settings.prefix, message.topic):
            self.settle(place)  # it comes by its partition, too
            self.acknowledge()
        else:
            self._heard(place, message)

    def _end(self, failure: BrokerUnreachable) -> None:
        self.is_over = self.is_leaving = True
        self.failure = None if self._link.is_taken_over else failure
        self._lost(self, failure)
