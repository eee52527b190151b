"""Dead letters: a stream of their own, with the messages as they came; on it is also what groups have again."""

import base64
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from tidings.brokers.interface import Arrival, DeadLetter
from tidings.brokers.nats.messages import CHANNEL, ID, PLACE, Reading, encoded, header_lines, pairs_of, written
from tidings.brokers.nats.names import Names
from tidings.brokers.nats.part import Ticket
from tidings.brokers.nats.wire import NO_MESSAGE, NO_STREAM, JetStreamError, Wire
from tidings.errors import BrokerError

_GROUP, _REASON, _DETAIL, _ATTEMPTS = (f"Tidings-{each}" for each in ("Group", "Reason", "Detail", "Attempts"))
_ABOUT: Final = (_GROUP, _REASON, _DETAIL, _ATTEMPTS)
_LONGEST: Final = 8000  # characters of what is told of a failure, as headers are part of the largest message


class Letters:
    """Those of all groups."""

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._names = names

    async def add(self, group: str, arrival: Arrival, reason: str, detail: str) -> None:
        """Keep an arrival's message, with why it was given up."""
        ticket: Ticket = arrival.ticket
        head, data = await self._original(arrival, ticket)
        about = {
            ID: f"{ticket.part.stream} {ticket.part.consumer} {ticket.sequence.decode()}",
            _GROUP: encoded(group),
            _REASON: encoded(reason[:_LONGEST]),
            _DETAIL: encoded(detail[:_LONGEST]),
            _ATTEMPTS: str(arrival.attempt),
        }
        if CHANNEL.encode() not in head:
            about[CHANNEL] = encoded(ticket.part.channel)
            about[PLACE] = encoded(f"{ticket.part.stream}/{ticket.sequence.decode()}")
        said = "".join(f"{name}: {value}\r\n" for name, value in about.items()).encode()
        head = b"NATS/1.0\r\n%b%b\r\n" % (said, header_lines(head, without=about))
        await self._publish(self._names.dead(group), head, data)

    async def listed(self, group: str | None, reading: Reading) -> list[DeadLetter]:
        """Those of a group, or of all, oldest first."""
        return [_letter(message, reading) async for message in self._messages(self._names.dead(group))]

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Publish it for its group alone, or not; and drop it."""
        if again:
            try:
                found = await self._wire.api(f"STREAM.MSG.GET.{self._names.letters}", {"seq": letter.ticket})
            except JetStreamError as error:
                if error.code == NO_MESSAGE:
                    return  # somebody else was quicker
                raise
            head, data = _parts(found["message"])
            said = f"{ID}: again {letter.ticket}\r\n".encode()
            head = b"NATS/1.0\r\n%b%b\r\n" % (said, header_lines(head, without=(ID, *_ABOUT)))
            await self._publish(self._names.again(letter.group), head, data)
        await self.forget([letter.ticket])

    async def forget(self, sequences: Iterable[int]) -> None:
        """Remove messages of the stream, those that are there."""
        await self._wire.remove(self._names.letters, sequences)

    async def counts(self) -> dict[str, int]:
        """How many each group has, by the subject of its letters."""
        try:
            said = {"subjects_filter": self._names.dead(None)}
            info = await self._wire.api(f"STREAM.INFO.{self._names.letters}", said)
        except JetStreamError as error:
            if error.code == NO_STREAM:
                return {}
            raise
        counts: dict[str, int] = info["state"].get("subjects") or {}
        return counts

    async def _original(self, arrival: Arrival, ticket: Ticket) -> tuple[bytes, bytes]:
        try:
            said = {"seq": int(ticket.sequence)}
            return _parts((await self._wire.api(f"STREAM.MSG.GET.{ticket.part.stream}", said))["message"])
        except JetStreamError as error:
            if error.code == NO_MESSAGE:
                return written(arrival.event)  # the stream has let it go meanwhile
            raise

    async def _publish(self, subject: str, head: bytes, data: bytes) -> None:
        answer = self._wire.understood(await self._wire.ask(subject, data, head=head))
        if isinstance(answer, BrokerError):
            raise answer

    async def _messages(self, subject: str) -> AsyncIterator[dict[str, Any]]:
        after = 0
        for _ in range(sum((await self.counts()).values())):
            try:
                said = {"seq": after + 1, "next_by_subj": subject}
                found = await self._wire.api(f"STREAM.MSG.GET.{self._names.letters}", said)
            except JetStreamError as error:
                if error.code == NO_MESSAGE:
                    return
                raise
            after = found["message"]["seq"]
            yield found["message"]


def _letter(message: dict[str, Any], reading: Reading) -> DeadLetter:
    head, data = _parts(message)
    about = dict(pairs_of(head))
    arrival = reading.arrival(head, data, "", "", None, 1)
    group, reason, detail = about.get(_GROUP, ""), about.get(_REASON, ""), about.get(_DETAIL, "")
    return DeadLetter(group, arrival.event, reason, detail, int(about.get(_ATTEMPTS, "1")), message["seq"])


def _parts(message: dict[str, Any]) -> tuple[bytes, bytes]:
    head = base64.b64decode(message.get("hdrs") or "") or b"NATS/1.0\r\n\r\n"
    return head, base64.b64decode(message.get("data") or "")
