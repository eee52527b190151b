"""`Part`: what one consumer hands to a member. It keeps requests with the server, and knows what has no answer.

A message in hand is not handed over by the server again as long as signs are given that it is worked on.
"""

import itertools
import re
from collections import deque
from typing import Any, Final

import msgspec

from tidings.brokers.nats.link import Link
from tidings.brokers.nats.wire import command, nobody_there
from tidings.errors import BrokerError

_NANO: Final = 1_000_000_000
_BYTES: Final = 8 * 1024 * 1024  # that one request may bring; more than the largest message has
_MARGIN: Final = 1.0  # seconds that the end of a request may be late
_UNFILLED: Final = re.compile(rb"Nats-Pending-Messages: (\d+)")
_ACK: Final = b"+ACK"
_NAK: Final = b"-NAK"
_AT_WORK: Final = b"+WPI"


_numbers = itertools.count()  # of parts, several of which may be of one consumer in turn


class Ticket(msgspec.Struct, gc=False):
    """What an arrival is known by."""

    part: "Part"
    sequence: bytes  # in the stream
    reply: bytes  # where it is answered
    attempt: int
    beat: int  # of the member's heart, when it came, or when a sign was last given
    is_open: bool = False  # handed over, and without an answer


class Part:
    """Of one partition, or of all of a channel where nobody shares them."""

    def __init__(self, link: Link, channel: str, stream: str, consumer: str, session: float, news: Any) -> None:
        self.channel = channel
        self.stream = stream
        self.consumer = consumer
        self.in_hand: dict[bytes, Ticket] = {}  # delivered, without an answer
        self.open = 0  # how many of these are handed over
        self.waiting: deque[tuple[Ticket, bytes, bytes]] = deque()  # the others, with headers and data
        self.is_leaving = False
        self.failure: BrokerError | None = None
        self.beat = 0
        self.last = 0  # the consumer's number of the newest delivery
        self._link = link
        self._session = session
        self._news = news  # called when something came
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}".encode()
        self._asked = 0  # messages of all requests that have yet to come
        self._ends = 0.0  # when the newest request does
        self._count = 0  # of requests
        self._known = 0  # the first request that `_asked` counts
        self._most = max(_BYTES, 2 * link.info.get("max_payload", 0))
        self._inbox = b""
        self._number: bytes | None = None

    def begin(self) -> None:
        """Listen for what will be asked for."""
        self._inbox = f"{self._link.inbox}p.{next(_numbers)}".encode()
        self._number = self._link.subscribe(f"{self._inbox.decode()}.*", self._hear)

    def ask(self, share: int, now: float) -> bytes:
        """The request by which as many as its share are on their way, where that is worth one."""
        if self.is_leaving or self._number is None:
            return b""
        if self._asked and self._ends < now:  # the server did not say what became of it
            self._asked, self._known = 0, self._count + 1
        more = share - len(self.waiting) - self._asked
        if more <= 0 or (more <= share // 2 and self._asked):
            return b""
        lasts = 2 * self._session
        self._asked += more
        self._count += 1
        self._ends = now + lasts + _MARGIN
        reply = b"%b.%d" % (self._inbox, self._count)
        return command(
            self._next,
            b'{"batch":%d,"expires":%d,"max_bytes":%d}' % (more, int(lasts * _NANO), self._most),
            reply=reply,
        )

    def leave(self) -> None:
        """No more is to be handed to this member; what is on its way still comes to hand."""
        self.waiting.clear()
        if self._number is not None and not self.is_leaving:
            self._link.unsubscribe(self._number)
        self.is_leaving = True

    def end(self) -> None:
        """Hear no more."""
        if self._number is not None:
            self._link.forget(self._number)
            self._number = None

    def taken(self, ticket: Ticket) -> bool:
        """Was it still without an answer? It has one now."""
        if self.in_hand.get(ticket.sequence) is not ticket:
            return False
        del self.in_hand[ticket.sequence]
        self.open -= ticket.is_open
        ticket.is_open = False
        return True

    def signs(self, beat: int) -> bytes:
        """That what came before the last beat is still worked on."""
        self.beat = beat
        signs = []
        for ticket in self.in_hand.values():
            if ticket.beat < beat - 1:
                ticket.beat = beat
                signs.append(command(ticket.reply, _AT_WORK))
        return b"".join(signs)

    def given_back(self) -> list[Ticket]:
        """All in hand, in the order of the stream."""
        tickets = sorted(self.in_hand.values(), key=lambda ticket: int(ticket.sequence))
        self.in_hand.clear()
        self.waiting.clear()
        self.open = 0
        return tickets

    def _hear(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        if not reply or head.startswith(b"NATS/1.0 "):
            self._hear_status(subject, head)
            return
        if self._asked:
            self._asked -= 1
        # $JS.ACK.<stream>.<consumer>.<times>.<sequence>.<delivery>.<time>.<pending>; or with domain and account before
        words = reply.split(b".")
        at = 4 if len(words) == 9 else 6
        times, sequence, self.last = words[at], words[at + 1], int(words[at + 2])
        if times != b"1" and (known := self.in_hand.get(sequence)) is not None:
            known.reply, known.beat = reply, self.beat  # it took long, and the server had lost patience
            return
        ticket = self.in_hand[sequence] = Ticket(self, sequence, reply, int(times), self.beat)
        if not self.is_leaving:
            self.waiting.append((ticket, head, data))
            self._news()

    def _hear_status(self, subject: bytes, head: bytes) -> None:
        status = head[9:12]
        if status == b"100":
            return  # the server says that it is there
        if int(subject.rpartition(b".")[2]) >= self._known:
            unfilled = _UNFILLED.search(head)
            self._asked = max(0, self._asked - int(unfilled[1])) if unfilled else 0
        if status == b"503":
            self.failure = nobody_there(self.stream)
        elif status == b"409" and b"Deleted" in head:
            self.failure = BrokerError(f"consumer {self.consumer} of stream {self.stream} was removed meanwhile")
        self._news()


def acknowledged(ticket: Ticket, reply: bytes = b"") -> bytes:
    """It is done with."""
    return command(ticket.reply, _ACK, reply=reply)


def handed_back(ticket: Ticket, reply: bytes = b"", *, seconds: float = 0.0) -> bytes:
    """It is to be handed over again, now or later."""
    later = b' {"delay":%d}' % int(seconds * _NANO) if seconds > 0 else b""
    return command(ticket.reply, _NAK + later, reply=reply)
