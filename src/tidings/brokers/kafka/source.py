"""`Source`: one server of a Kafka, asked for the records of partitions that it leads."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tidings.brokers.kafka.library import reader
from tidings.brokers.kafka.progress import Place, Progress
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.reaching import encryption

_WAIT: Final = 100  # milliseconds that a fetch may wait for something; what is given meanwhile waits behind it
_LONGEST: Final = 500  # likewise, where nothing has come for a while
_AT_ONCE: Final = 2_000_000  # bytes of an answer, about, and half as many of one partition: a batch comes whole
_COMMITTED: Final = 1  # of transactions, what was committed


class Server(NamedTuple):
    """Where a server is."""

    id: int
    host: str
    port: int


class Answer(NamedTuple):
    """What a server said of one partition."""

    progress: Progress
    since: int  # the offset that was asked for
    error: int  # Kafka's number of it; 0: none
    data: bytes
    aborted: Sequence[tuple[int, int]]  # producers whose transactions come to nothing, each with where it began


class Source:
    """A connection to one server, made when it is needed."""

    def __init__(self, settings: Settings, server: Server) -> None:
        self._settings = settings
        self._server = server
        self._connection: Any = None
        self._asked: list[Place] = []
        self._wait = _WAIT

    async def fetch(self, wanted: Sequence[Progress]) -> list[Answer]:
        """What comes next of these partitions; after a while without anything, nothing.

        Raises:
            OSError, TimeoutError: there is no connection, or no answer.
            aiokafka.errors.KafkaError: the server refuses what was asked.
        """
        asked = {it.place: it for it in wanted}
        if sorted(asked) != self._asked:
            self._asked, self._wait = sorted(asked), _WAIT
        since = {it.place: it.fetched for it in wanted}
        topics: dict[str, list[tuple[int, int, int]]] = {}
        for it in wanted:
            topics.setdefault(it.topic, []).append((it.partition, it.fetched, _AT_ONCE // 2))
        request = reader().request(self._wait, 1, _AT_ONCE, _COMMITTED, list(topics.items()))
        response = await (await self._connected()).send(request)
        answers = [
            Answer(asked[place], since[place], error, said[-1] or b"", _aborted(response.API_VERSION, said) or ())
            for place, error, said in _parts(response)
        ]
        self._wait = _WAIT if any(each.data for each in answers) else min(self._wait * 2, _LONGEST)
        return answers

    def close(self) -> None:
        """Let go of the connection; the next fetch makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> Any:
        if self._connection is None or not self._connection.connected():
            settings, (_, host, port) = self._settings, self._server
            context = await asyncio.to_thread(encryption, settings.address) if settings.is_secret else None
            said = settings.source(waiting=_LONGEST / 1000)
            self._connection = await reader().connect(host, port, ssl_context=context, **said)
        return self._connection


def _parts(response: Any) -> Iterator[tuple[Place, int, Sequence[Any]]]:
    for topic, parts in response.topics:
        for partition, error, _, *said in parts:
            yield (topic, partition), error, said


def _aborted(version: int, said: Sequence[Any]) -> Any:
    """From the eleventh version on there stands one thing more behind them (the replica to read from)."""
    return said[-3] if version >= 11 else said[-2]
