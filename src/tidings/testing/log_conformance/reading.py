"""What one look at the log promises: nothing skipped, nothing twice, and only what was asked for."""

from tidings.log.group import LANES
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.record import restore, slot_of
from tidings.log.slices import Where
from tidings.testing.log_conformance.words import ids_of, new_event, new_events


async def test_scans_follow_one_another_without_gap_or_repeat(log: Log) -> None:
    await log.append(new_events(0, 25))

    after, ids = START, []
    for _ in range(10):
        found = await log.scan(after, limit=7)
        assert found.after == after
        after = found.upto
        ids += ids_of(found)
        if found.at_head:
            break

    assert ids == [f"id-{number}" for number in range(25)]
    assert after == await log.head()
    assert (await log.scan(after)).records == []


async def test_a_scan_that_ends_at_the_head_says_so(log: Log) -> None:
    await log.append(new_events(0, 4))

    assert not (await log.scan(START, limit=3)).at_head
    assert (await log.scan(START, limit=5)).at_head
    assert (await log.scan(await log.head())).at_head


async def test_a_scan_shows_what_it_was_asked_for(log: Log) -> None:
    await log.append([new_event(0, key="a"), new_event(1, key="b", type="order:paid")])
    await log.append([new_event(2, key="c")], stream="s")
    await log.append([new_event(3, key="d")], stream="s", public=True)
    await log.append([new_event(4, key="e")], public=False)
    everything = await log.scan(START)
    lanes = frozenset({slot_of("a") % LANES, slot_of("b") % LANES})

    async def ids(where: Where) -> list[str]:
        found = await log.scan(START, where)
        assert found.upto == everything.upto
        assert found.at_head
        return ids_of(found)

    assert await ids(Where()) == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert await ids(Where(types=frozenset({"order:paid", "order:lost"}))) == ["id-1"]
    assert await ids(Where(types=frozenset())) == []
    assert await ids(Where(public=True)) == ["id-0", "id-1", "id-3"]
    wanted = [f"id-{number}" for number, key in enumerate("abcde") if slot_of(key) % LANES in lanes]
    assert await ids(Where(lanes=lanes)) == wanted
    assert await ids(Where(lanes=frozenset(range(LANES)))) == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert await ids(Where(lanes=frozenset())) == []


async def test_a_lean_scan_leaves_out_all_but_the_data(log: Log) -> None:
    await log.append([new_event(0, data={"a": 1})])

    whole = (await log.scan(START)).records[0]
    lean = (await log.scan(START, Where(lean=True))).records[0]

    assert (lean.order, lean.type, lean.version, lean.data) == (whole.order, whole.type, whole.version, whole.data)
    assert whole.envelope is not None
    assert lean.envelope is None


async def test_a_lean_scan_gives_data_of_any_kind_as_it_came(log: Log) -> None:
    kept = [b"", b"\xff\x00\xfe", b'"\xc3\xa9,\n"', b"\x00", b"[1]", b"\xc3"]
    events = [
        new_event(number, type=("t", "order:paid")[number % 2], data=data, content_type="application/octet-stream")
        for number, data in enumerate(kept)
    ]
    await log.append(events)

    async def datas(types: frozenset[str] | None) -> list[tuple[str, bytes]]:
        return [(it.type, it.data) for it in (await log.scan(START, Where(types=types, lean=True))).records]

    assert await datas(None) == await datas(frozenset({"t", "order:paid"})) == [(it.type, it.data) for it in events]
    assert await datas(frozenset({"t"})) == [("t", data) for data in kept[::2]]


async def test_a_scan_moves_over_what_it_does_not_show(log: Log) -> None:
    await log.append([new_event(number, type="noise") for number in range(20)])
    appended = await log.append([new_event(20, type="news")])
    await log.append([new_event(number, type="noise") for number in range(21, 30)])
    news = Where(types=frozenset({"news"}))

    first = await log.scan(START, news, limit=1)
    second = await log.scan(first.upto, news, limit=1)

    assert first.upto == appended.last
    assert (second.records, second.upto, second.at_head) == ([], await log.head(), True)


async def test_a_key_or_else_its_stream_decides_the_lane(log: Log) -> None:
    await log.append([new_event(0, key="k"), new_event(1)])
    await log.append([new_event(2, key="k"), new_event(3)], stream="s")

    slots = [record.slot for record in (await log.scan(START)).records]

    assert slots == [slot_of("k"), slot_of("id-1"), slot_of("k"), slot_of("s")]


async def test_an_event_is_found_by_its_id(log: Log) -> None:
    await log.append([new_event(0), new_event(1), new_event(1, source="bank")])

    found = await log.find("id-1")

    assert [restore(record, "").source for record in found.records] == ["shop", "bank"]
    assert (await log.find("nobody")).records == []
