"""A group's notes of who is a member and who owns what, as its stream keeps them: the newest of each, and when it came.

A consumer of its own hands each change over as it is written. Whoever has read back a note of its own has read all that
was written before it; and that note's time is the server's, by which all members judge who is still alive.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tidings.brokers.nats.link import Link
from tidings.brokers.nats.names import Names, plain
from tidings.brokers.nats.wire import NOT_LAST, JetStreamError, Wire, command
from tidings.errors import BrokerError

_LAST: Final = "Nats-Expected-Last-Subject-Sequence"


Key = tuple[str, ...]
KNOWN: Final = ("known",)
_CALLS: Final = "calls"  # the first word of notes that move nobody


class Record(msgspec.Struct, frozen=True):
    """A note."""

    sequence: int
    time: float  # by the server's clock, in seconds
    said: dict[str, Any]  # nothing, when it was withdrawn


class Records:
    """The notes of one group."""

    def __init__(self, wire: Wire, link: Link, names: Names, group: str, changed: Callable[[], None]) -> None:
        self.notes: dict[Key, Record] = {}
        self._wire = wire
        self._link = link
        self._names = names
        self._group = group
        self._changed = changed
        self._seen = 0
        self._came = asyncio.Event()
        self._number: bytes | None = None
        self._consumer = ""

    async def begin(self) -> None:
        """Hear what is noted, and what comes."""
        deliver = f"{self._link.inbox}r.{id(self)}"
        self._number = self._link.subscribe(deliver, self._hear)
        config = {
            "deliver_subject": deliver,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._names.record(self._group),
            "mem_storage": True,
            "inactive_threshold": 30_000_000_000,
        }
        said = {"stream_name": self._names.records, "config": config}
        made = await self._wire.api(f"CONSUMER.CREATE.{self._names.records}", said)
        self._consumer = made["name"]

    def end(self) -> bytes:
        """Hear no more; the command that says so."""
        if self._number is None:
            return b""
        self._link.unsubscribe(self._number)
        self._link.forget(self._number)
        self._number = None
        return command(f"$JS.API.CONSUMER.DELETE.{self._names.records}.{self._consumer}".encode(), b"")

    async def write(self, key: Key, said: dict[str, Any]) -> int:
        """Note it; its number in the stream."""
        [number] = await self.write_all([(key, said, None)])
        assert number is not None
        return number

    async def write_all(self, notes: Sequence[tuple[Key, Mapping[str, Any], int | None]]) -> list[int | None]:
        """Note all, in one round trip: each only where the last of its key has this number, if one is given.

        None stands for what was not noted, as somebody else wrote meanwhile.
        """
        questions = []
        for key, said, last in notes:
            head = b"" if last is None else f"NATS/1.0\r\n{_LAST}: {last}\r\n\r\n".encode()
            questions.append((self._names.record(self._group, *key), msgspec.json.encode(said), head))
        numbers: list[int | None] = []
        for answer in await self._wire.ask_all(questions):
            understood = self._wire.understood(answer)
            if isinstance(understood, JetStreamError):
                if understood.code != NOT_LAST:
                    raise understood
                numbers.append(None)
            else:
                numbers.append(understood["seq"])
        return numbers

    async def read_up_to(self, sequence: int) -> None:
        """Wait until a note that was written has come back.

        It may have been written over another connection than notes come by. What came before that was lost says nothing
        of it: a server that was killed may number notes again as it had numbered those that are gone.

        Raises:
            BrokerError: it does not, or not by this connection.
        """
        link = self._link
        try:
            async with asyncio.timeout(link.timeout):
                while self._seen < sequence and link.lost is None:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            if link.lost is None:
                told = f"{self._wire.settings.shown} hands over no notes of group {self._group!r}"
                raise BrokerError(f"{told}: stream {self._names.records} may have been made anew") from None
        if link.lost is not None:
            raise link.error()

    async def remove(self, key: Key) -> None:
        """Have the server forget it, unless it is written anew."""
        await self._forget(self.notes.pop(key).sequence)

    async def note_calls(self, stream: str, sequence: int, beyond: int) -> None:
        """Of this message so many calls were made beyond what the server counts, which is how often it handed it over.

        What is handed back has no room for it. The last word is none, when it is done with.
        """
        key = (_CALLS, stream, str(sequence))
        number = await self.write(key, {"beyond": beyond} if beyond else {})
        await self.read_up_to(number)
        if not beyond:
            await self._forget(number)

    def calls_beyond(self, stream: str, sequence: int) -> int:
        """What was noted so of it."""
        note = self.notes.get((_CALLS, stream, str(sequence)))
        return 0 if note is None else int(note.said["beyond"])

    async def _forget(self, sequence: int) -> None:
        if self._link.lost is not None:  # another life of the server may have given the number to another note
            raise self._link.error()
        await self._wire.remove(self._names.records, [sequence])

    def _hear(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        words = reply.split(b".")
        if len(words) < 9:
            return
        at = 5 if len(words) == 9 else 7
        key = tuple(map(plain, subject.decode().split(".")[3:]))
        before = self.notes.get(key)
        said: dict[str, Any] = msgspec.json.decode(data)
        self.notes[key] = Record(int(words[at]), int(words[at + 2]) / 1e9, said)
        self._seen = int(words[at])
        self._came.set()
        if key[0] == _CALLS:
            if not said:
                del self.notes[key]
        elif before is None or before.said != said:
            self._changed()


async def note_known(wire: Wire, names: Names, group: str) -> None:
    """The group has begun: whatever comes from now on is for it, whether a member is there or not."""
    answer = wire.understood(await wire.ask(names.record(group, *KNOWN), b"{}"))
    if isinstance(answer, JetStreamError):
        raise answer
