"""Records as they come from a Kafka: from whoever leads their partition, packed, given up, or gone."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.brokers.batches import batch
from tests.brokers.words import LIMIT, until
from tests.servers.kafka import KafkaServer
from tidings import Broker
from tidings.brokers import connect
from tidings.brokers.kafka import fetching
from tidings.brokers.kafka.fetching import Fetching
from tidings.brokers.kafka.progress import Progress
from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.source import Answer, Server
from tidings.brokers.kafka.tray import Tray
from tidings.errors import BrokerError, BrokerUnreachable
from tidings.testing.broker_conformance.words import new_event, new_events, take

ONE, TWO = Server(1, "one", 9092), Server(2, "two", 9092)
NOT_LEADER, OUT_OF_RANGE, NOT_ALLOWED, UNKNOWN = 6, 1, 29, -1
Said = Callable[[Progress], Answer]


@pytest.fixture
def prefix() -> str:
    return f"f{uuid.uuid4().hex[:8]}."


@contextlib.asynccontextmanager
async def connected(server: KafkaServer, prefix: str, settings: str = "") -> AsyncIterator[Broker]:
    broker = await connect(f"{server.url}?prefix={prefix}&partitions=1&session=2&discovery=0.1{settings}")
    try:
        yield broker
    finally:
        await broker.close()


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_that_were_packed_are_unpacked(kafka_server: KafkaServer, prefix: str, compression: str) -> None:
    events = new_events(0, 100)
    async with connected(kafka_server, prefix, f"&compression={compression}") as broker:
        await broker.publish(events)
        async with broker.subscribe(["order:*"], group="g") as inbox:
            heard = await take(inbox, [event.id for event in events])

    said = {event.id: msgspec.json.decode(bytes(event.data)) for event in heard}
    assert said == {event.id: event.data for event in events}


async def test_what_a_transaction_gave_up_is_not_heard(kafka_server: KafkaServer, prefix: str) -> None:
    async with connected(kafka_server, prefix) as broker:
        await broker.publish([new_event(0)])
        await asyncio.to_thread(transact, kafka_server, f"{prefix}order")
        await broker.publish([new_event(1)])
        async with broker.subscribe(["order:*"], group="g") as inbox:
            heard = await take(inbox, ["kept", new_event(0).id, new_event(1).id])

    assert "given up" not in {event.id for event in heard}


def transact(server: KafkaServer, topic: str) -> None:
    """As somebody without tidings does: a transaction that is given up, and one that is not. Blocks."""
    settings: dict[str, Any] = {"bootstrap.servers": f"127.0.0.1:{server.port}", "transactional.id": topic}
    producer = Producer(settings)
    producer.init_transactions(LIMIT)
    for name, end in (("given up", producer.abort_transaction), ("kept", producer.commit_transaction)):
        producer.begin_transaction()
        said = {"specversion": "1.0", "id": name, "source": "s", "type": "order:created"}
        producer.produce(topic, b"{}", headers=[(f"ce_{each}", value.encode()) for each, value in said.items()])
        producer.flush(LIMIT)
        end(LIMIT)


async def test_who_was_away_for_so_long_that_events_are_gone_goes_on_with_the_first_there_is(
    kafka_server: KafkaServer, prefix: str
) -> None:
    events = new_events(0, 20)
    async with connected(kafka_server, prefix) as broker:
        async with broker.subscribe(["order:*"], group="g"):
            pass  # the group is known, and has read nothing
        await broker.publish(events)
        await asyncio.to_thread(forget, kafka_server, f"{prefix}order", 15)
        async with broker.subscribe(["order:*"], group="g") as inbox:
            heard = await take(inbox, [event.id for event in events[15:]])

    assert len(heard) == 5


def forget(server: KafkaServer, topic: str, before: int) -> None:
    """As retention does. Blocks."""
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{server.port}"})
    [done] = admin.delete_records([TopicPartition(topic, 0, before)]).values()
    done.result(LIMIT)


class Leaders:
    """Who leads is what a test says; asked, it moves on to the next."""

    def __init__(self, *servers: Server, begins: int = 0) -> None:
        self._servers = list(servers)
        self._begins = begins

    async def leaders(self, topics: Iterable[str]) -> dict[tuple[str, int], Server]:
        server = self._servers.pop(0) if len(self._servers) > 1 else self._servers[0]
        return {(topic, 0): server for topic in topics}

    async def beginnings(self, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return dict.fromkeys(places, self._begins)


class Divided(Leaders):
    """Each partition has a leader of its own."""

    async def leaders(self, topics: Iterable[str]) -> dict[tuple[str, int], Server]:
        return {(topic, number): server for topic in topics for number, server in enumerate(self._servers)}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[Server, list[Said | Exception]]:
    """What each server is to say, one thing after another; then it says nothing for ever."""
    script: dict[Server, list[Said | Exception]] = {ONE: [], TWO: []}

    class Scripted:
        def __init__(self, settings: object, server: Server) -> None:
            self._server = server

        async def fetch(self, wanted: Sequence[Progress]) -> list[Answer]:
            if not script[self._server]:
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)  # as long as a server may take
            each = script[self._server].pop(0)
            if isinstance(each, Exception):
                raise each
            return [each(progress) for progress in wanted]

        def close(self) -> None:
            """There is nothing to let go of."""

    monkeypatch.setattr(fetching, "Source", Scripted)
    return script


def fails(number: int) -> Said:
    return lambda progress: Answer(progress, progress.fetched, number, b"", ())


def brings(count: int) -> Said:
    return lambda progress: Answer(progress, progress.fetched, 0, batch(progress.fetched, count), ())


@contextlib.asynccontextmanager
async def fetched(leaders: Any, *, timeout: float = 5.0) -> AsyncIterator[Tray]:
    """What comes to who holds one partition from its third record on."""
    tray = Tray()
    running = asyncio.ensure_future(
        Fetching(settings_of(f"kafka://127.0.0.1:9?timeout={timeout}"), leaders, tray).run()
    )
    tray.hold([TopicPartition("order", 0, 2)])
    yield tray
    running.cancel()
    await asyncio.wait([running])


async def offsets(tray: Tray, count: int) -> list[int]:
    found: list[int] = []

    def draw() -> bool:
        found.extend(each.offset for each in tray.draw(100))
        return len(found) >= count

    await until(draw, "a record")
    return found


async def test_when_another_server_leads_it_is_asked(said: dict[Server, list[Said | Exception]]) -> None:
    said[ONE] = [brings(2), fails(NOT_LEADER)]
    said[TWO] = [brings(1)]

    async with fetched(Leaders(ONE, TWO)) as tray:
        assert await offsets(tray, 3) == [2, 3, 4]


async def test_who_does_not_answer_is_asked_again_unless_another_leads_now(
    said: dict[Server, list[Said | Exception]],
) -> None:
    said[ONE] = [ConnectionResetError(), TimeoutError(), brings(1), OSError()]
    said[TWO] = [brings(1)]

    async with fetched(Leaders(ONE, ONE, ONE, TWO)) as tray:
        assert await offsets(tray, 2) == [2, 3]


async def test_a_leader_that_is_away_for_long_is_missed(said: dict[Server, list[Said | Exception]]) -> None:
    said[ONE] = [ConnectionRefusedError() for _ in range(1000)]

    async with fetched(Leaders(ONE), timeout=0.3) as tray:
        await until(lambda: tray.failed, "a failure")

    assert isinstance(tray.failed, BrokerUnreachable)


async def test_what_was_forgotten_is_passed_over(said: dict[Server, list[Said | Exception]]) -> None:
    said[ONE] = [fails(OUT_OF_RANGE), brings(1)]

    async with fetched(Leaders(ONE, begins=40)) as tray:
        assert await offsets(tray, 1) == [40]


async def test_who_may_not_read_a_topic_is_told_so(said: dict[Server, list[Said | Exception]]) -> None:
    said[ONE] = [fails(NOT_ALLOWED)]

    async with fetched(Leaders(ONE)) as tray:
        await until(lambda: tray.failed, "a failure")

    assert isinstance(tray.failed, BrokerError)
    assert "'order'" in str(tray.failed)
    assert "ask its operator" in str(tray.failed)


async def test_bytes_that_came_damaged_end_it_and_are_not_passed_over(
    said: dict[Server, list[Said | Exception]],
) -> None:
    said[ONE] = [brings(1), lambda progress: Answer(progress, 3, 0, batch(3, 1)[:-1] + b"?", ()), brings(1)]

    async with fetched(Leaders(ONE)) as tray:
        assert await offsets(tray, 1) == [2]
        with pytest.raises(BrokerError, match="checksum"):
            await offsets(tray, 1)


async def test_an_answer_that_comes_late_from_who_led_is_nobodys(said: dict[Server, list[Said | Exception]]) -> None:
    def late(progress: Progress) -> Answer:
        return Answer(progress, 2, 0, batch(2, 1) + batch(3, 3), ())

    said[ONE] = [brings(2), late, fails(NOT_LEADER)]
    said[TWO] = [brings(1)]

    async with fetched(Leaders(ONE, TWO)) as tray:
        assert await offsets(tray, 3) == [2, 3, 4]
        assert tray.draw(100) == []


async def test_what_a_server_cannot_say_passes_and_for_long_is_told(said: dict[Server, list[Said | Exception]]) -> None:
    said[ONE] = [fails(UNKNOWN), brings(1), *[fails(UNKNOWN)] * 1000]

    async with fetched(Leaders(ONE), timeout=0.3) as tray:
        assert await offsets(tray, 1) == [2]
        await until(lambda: tray.failed, "a failure")

    assert "Unknown broker error" in str(tray.failed)


async def test_one_server_that_is_away_ends_nothing_while_another_answers(
    said: dict[Server, list[Said | Exception]],
) -> None:
    said[ONE] = [ConnectionRefusedError()] * 5
    said[ONE] += [brings(1)]
    said[TWO] = [brings(1)] * 1000

    async with fetched(Divided(ONE, TWO), timeout=0.1) as tray:
        tray.hold([TopicPartition("order", 1, 0)])

        partitions = set[int]()

        def has_both() -> bool:
            partitions.update(each.partition for each in tray.draw(100))
            return partitions == {0, 1}

        await until(has_both, "a record of each")

    assert tray.failed is None


async def test_a_full_tray_is_fetched_for_again_when_there_is_room(said: dict[Server, list[Said | Exception]]) -> None:
    large = b"x" * 3_000_000
    said[ONE] = [lambda it: Answer(it, it.fetched, 0, batch(it.fetched, 1, value=large), ())] * 3

    async with fetched(Leaders(ONE)) as tray:
        await until(lambda: tray.is_full, "the first")
        assert len(said[ONE]) == 2
        assert await offsets(tray, 3) == [2, 3, 4]
