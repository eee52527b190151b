"""A connection that is made when it is first needed, and again after it was lost; and what JetStream is asked."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec

from tidings.brokers.nats.greeting import connected
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.settings import Settings
from tidings.errors import BrokerError

NO_STREAM: Final = 10059
NO_CONSUMER: Final = 10014
NO_MESSAGE: Final = 10037
_NO_SEQUENCE: Final = 10043  # "message delete failed": it is not there
NOT_LAST: Final = 10071  # somebody else wrote to the subject meanwhile
_PAGES: Final = 10_000  # a bound for what is listed page by page


class JetStreamError(BrokerError):
    """JetStream refused: `code` is its own number of the reason."""

    def __init__(self, shown: str, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{shown} refused: {reason}")


class Answer:
    """One answer, awaited."""

    def __init__(self) -> None:
        self.future: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self.future.add_done_callback(_seen)

    def hear(self, head: bytes, data: bytes) -> None:
        """It."""
        if not self.future.done():
            self.future.set_result((head, data))

    def fail(self, error: Exception) -> None:
        """It does not come."""
        if not self.future.done():
            self.future.set_exception(error)


class Wire:
    """The one connection of a broker, and JetStream's own questions."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_closed = False
        self._link: Link | None = None
        self._connecting = asyncio.Lock()

    async def link(self) -> Link:
        """The connection, open.

        Raises:
            BrokerUnreachable: there is none to be had.
        """
        if self._link is not None and self._link.lost is None:
            return self._link
        async with self._connecting:
            if self._link is None or self._link.lost is not None:
                self._link = await connected(self.settings)
                self.is_closed = False
            return self._link

    async def ask(self, subject: str, data: bytes = b"", *, head: bytes = b"") -> bytes:
        """The answer to one question.

        Raises:
            BrokerUnreachable: the connection failed, and whether it was carried out is unknown.
            BrokerError: nobody is there to answer it.
        """
        [answer] = await self.ask_all([(subject, data, head)])
        return answer

    async def ask_all(self, questions: Sequence[tuple[str, bytes, bytes]]) -> list[bytes]:
        """The answers to questions (subject, data, headers), in one round trip.

        Raises:
            BrokerUnreachable, BrokerError: as `ask`.
        """
        link = await self.link()
        answers, replies, commands = [Answer() for _ in questions], [], []
        for (subject, data, head), answer in zip(questions, answers, strict=True):
            replies.append(link.expect(answer))
            commands.append(command(subject.encode(), data, reply=replies[-1], head=head))
        link.send(b"".join(commands))
        try:
            async with asyncio.timeout(link.timeout):
                heard = [await answer.future for answer in answers]
        except TimeoutError:
            raise link.silent() from None
        finally:
            for reply in replies:
                link.expect_no_more(reply)
        if any(head.startswith(b"NATS/1.0 503") for head, _ in heard):
            raise nobody_there(self.settings.shown)
        return [data for _, data in heard]

    async def api(self, subject: str, said: object = None) -> dict[str, Any]:
        """What JetStream answers.

        Raises:
            JetStreamError: it refuses.
            BrokerUnreachable, BrokerError: as `ask`.
        """
        [answer] = await self.api_all([(subject, said)])
        return answer

    async def api_all(self, questions: Sequence[tuple[str, object]]) -> list[dict[str, Any]]:
        """What JetStream answers to several questions, in one round trip.

        Raises:
            JetStreamError: it refuses one; the others may have been carried out.
            BrokerUnreachable, BrokerError: as `ask`.
        """
        answers = await self.try_all(questions)
        for answer in answers:
            if isinstance(answer, JetStreamError):
                raise answer
        return [answer for answer in answers if isinstance(answer, dict)]

    async def try_all(self, questions: Sequence[tuple[str, object]]) -> list[dict[str, Any] | JetStreamError]:
        """The same, with what was refused among the answers."""
        asked = [
            (f"$JS.API.{name}", b"" if said is None else msgspec.json.encode(said), b"") for name, said in questions
        ]
        return [self.understood(answer) for answer in await self.ask_all(asked)]

    async def remove(self, stream: str, sequences: Iterable[int]) -> None:
        """Remove these messages, those that are there.

        One at a time, as a purge of one subject had servers up to February 2023, such as 2.9.10, skip what consumers
        of several subjects were still to be handed (nats-server, pull request 3838).

        Raises:
            JetStreamError, BrokerUnreachable, BrokerError: as `api_all`.
        """
        said = [{"seq": sequence, "no_erase": True} for sequence in sequences]
        for answer in await self.try_all([(f"STREAM.MSG.DELETE.{stream}", each) for each in said]):
            if isinstance(answer, JetStreamError) and answer.code not in (NO_MESSAGE, _NO_SEQUENCE):
                raise answer

    def understood(self, data: bytes) -> dict[str, Any] | JetStreamError:
        """An answer of JetStream's."""
        answer: dict[str, Any] = msgspec.json.decode(data)
        if "error" in answer:
            error = answer["error"]
            return JetStreamError(self.settings.shown, error.get("err_code", 0), error.get("description", "?"))
        return answer

    async def listed(self, asked: str, member: str, **said: object) -> AsyncIterator[Any]:
        """What JetStream lists, page by page."""
        offset = 0
        for _ in range(_PAGES):
            page = await self.api(asked, {**said, "offset": offset})
            found = page.get(member) or []
            for each in found:
                yield each
            offset += len(found)
            if not found or offset >= page.get("total", 0):
                return

    async def close(self) -> None:
        """Let go of it; who asks again connects again."""
        self.is_closed = True
        link, self._link = self._link, None
        if link is not None:
            link.lose("the connection was closed")


def command(subject: bytes, data: bytes, *, reply: bytes = b"", head: bytes = b"") -> bytes:
    """A message as it goes over the wire."""
    if not head:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(data), data)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, len(head), len(head) + len(data), head, data)


def nobody_there(shown: str) -> BrokerError:
    """What a question is answered that nobody hears."""
    told = "nobody there answers: begin the server with JetStream (nats-server -js), or give the URL ?jetstream=no"
    return BrokerError(f"{shown}: {told}")


def _seen(future: "asyncio.Future[tuple[bytes, bytes]]") -> None:
    if not future.cancelled():
        future.exception()
