"""What inboxes share: requests kept with the server, handing over as much as may be unsettled, and single answers."""

import asyncio
from collections.abc import Iterable, Sequence

from tidings.brokers.interface import Arrival
from tidings.brokers.nats.carrier import Carrier
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.part import Part, Ticket, acknowledged, handed_back
from tidings.brokers.nats.wire import Answer, nobody_there
from tidings.events import PatternSet

_AHEAD = 4  # times the prefetch is the most that waits here, all parts together


class Receiving:
    """An inbox over some parts, whoever says which."""

    def __init__(self, carrier: Carrier, link: Link, patterns: Sequence[str], prefetch: int) -> None:
        self.carrier = carrier
        self.link = link
        self.parts: dict[tuple[str, int], Part] = {}
        self._hears = PatternSet(patterns)
        self._prefetch = prefetch
        self._failure: Exception | None = None
        self._news = asyncio.Event()
        self._turn = 0  # the part that is looked at first
        link.mourn(self.fail)

    def may_hand_over(self) -> bool:
        """Is what waits here, and what is asked for now, still for this inbox to hand over?"""
        return True

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """What comes next."""
        while True:
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            room = min(at_most, self._prefetch - sum([part.open for part in self.parts.values()]))
            arrivals = self._take(room) if room > 0 and self.may_hand_over() else []
            self._ask()
            if arrivals:
                return arrivals
            await self._news.wait()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Acknowledge each; the last of each consumer is answered, and with it those before."""
        done: dict[Part, list[Ticket]] = {}
        if arrivals is None:
            for part in self.parts.values():
                done[part] = [ticket for ticket in part.in_hand.values() if ticket.is_open]
        else:
            for arrival in arrivals:
                ticket: Ticket = arrival.ticket
                done.setdefault(ticket.part, []).append(ticket)
        answered = [[ticket for ticket in tickets if part.taken(ticket)] for part, tickets in done.items()]
        await self.confirmed([(tickets, 0.0) for tickets in answered if tickets], acknowledges=True)
        await self.done_with(answered)
        self.news()

    def calls_of(self, ticket: Ticket) -> int:
        """The how manyth time it is called, of a message that was handed over before."""
        return ticket.attempt

    async def done_with(self, answered: Sequence[Sequence[Ticket]]) -> None:
        """These were acknowledged."""

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Hand it back, to be handed over again then; the server keeps the time."""
        ticket: Ticket = arrival.ticket
        if ticket.part.taken(ticket):
            await self.confirmed([([ticket], seconds)], acknowledges=False)
            self.news()

    async def confirmed(self, answers: Sequence[tuple[Sequence[Ticket], float]], *, acknowledges: bool) -> None:
        """Answer messages, those of one consumer after another; returns when the server has heard it."""
        if self.link.lost is not None:
            raise self.link.error()
        waiting, commands, replies = [], [], []
        for tickets, seconds in answers:
            answer = Answer()
            waiting.append(answer)
            replies.append(self.link.expect(answer))
            for ticket in tickets:
                reply = replies[-1] if ticket is tickets[-1] else b""
                is_done = acknowledged(ticket, reply) if acknowledges else handed_back(ticket, reply, seconds=seconds)
                commands.append(is_done)
        self.link.send(b"".join(commands))
        try:
            async with asyncio.timeout(self.link.timeout):
                for answer in waiting:
                    head, _ = await answer.future
                    if head.startswith(b"NATS/1.0 503"):
                        raise nobody_there(self.carrier.settings.shown)
        except TimeoutError:
            raise self.link.silent() from None
        finally:
            for reply in replies:
                self.link.expect_no_more(reply)

    def fail(self, error: Exception) -> None:
        """Whoever receives is told; nothing more is asked of the server."""
        if self._failure is None:
            self._failure = error
            for part in self.parts.values():
                part.leave()
        self._news.set()

    def news(self) -> None:
        """There may be something to hand over, or room for it."""
        self._news.set()

    def give_back(self, parts: Iterable[Part]) -> list[tuple[Sequence[Ticket], float]]:
        """Answers by which all in hand goes back at once, in order."""
        return [(tickets, 0.0) for part in parts if (tickets := part.given_back())]

    def stop_hearing(self) -> None:
        """Nothing is handed over any more."""
        self.link.mourn_no_more(self.fail)
        for part in self.parts.values():
            part.end()

    def _ask(self) -> None:
        parts = list(self.parts.values())
        if not parts or self._failure is not None or not self.may_hand_over():
            return  # what is asked for by who was replaced would be handed to it, before what its heir is handed
        for part in parts:
            if part.failure is not None:
                self.fail(part.failure)
        share = max(1, min(self._prefetch, _AHEAD * self._prefetch // len(parts)))
        now = asyncio.get_running_loop().time()
        self.link.send(b"".join([part.ask(share, now) for part in parts]))

    def _take(self, room: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        parts = list(self.parts.values())
        for number in range(len(parts)):
            part = parts[(self._turn + number) % len(parts)]
            if part.waiting and not part.is_leaving:
                self._hand_over(part, room - len(arrivals), arrivals)
                if len(arrivals) >= room:
                    self._turn += number + 1  # whoever could not hand over all it has is not first again
                    break
        return arrivals

    def _hand_over(self, part: Part, room: int, arrivals: list[Arrival]) -> None:
        waiting, hears, read, passed = part.waiting, self._hears.matches, self.carrier.reading.arrival, []
        channel, stream, end = part.channel, part.stream, len(arrivals) + room
        while waiting and len(arrivals) < end:
            ticket, head, data = waiting.popleft()
            ticket.is_open = True
            part.open += 1
            attempt = 1 if ticket.attempt == 1 else self.calls_of(ticket)
            arrival = read(head, data, channel, f"{stream}/{ticket.sequence.decode()}", ticket, attempt)
            if arrival.failure is not None or hears(arrival.notice.type):
                arrivals.append(arrival)
            elif part.taken(ticket):
                passed.append(acknowledged(ticket))
        self.link.send(b"".join(passed))
