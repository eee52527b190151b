"""The promises of `Log` and `Ledger`, as plain test functions: what every log keeps, whoever wrote it.

A log's test file is four fixtures and one import; nothing here needs pytest. An async runner such as anyio's plugin
must run `async def` tests.

    from tidings.testing.log_conformance import *

`log`       a new, empty log, opened with `clock`; closed by the fixture afterwards
`clock`     the ManualClock it was opened with
`reopen`    `await reopen()` opens the same log again, beside the first or after it, as another process would
`durable`   does the log outlive the last one who has it open? Claimed falsely or denied falsely, a test fails
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from tidings.clock import ManualClock
from tidings.errors import (
    ConfigurationError,
    Fenced,
    IdReused,
    InvalidEvent,
    LogClosed,
    LogTruncated,
    PartialDuplicate,
    VersionConflict,
)
from tidings.events import Event
from tidings.log.interface import (
    ANY,
    EXISTS,
    LANES,
    NONE,
    Appended,
    Expect,
    Group,
    Lease,
    Log,
    Parked,
    Settlement,
    Slice,
    Where,
)
from tidings.log.position import START
from tidings.log.record import draft, from_microseconds, restore, slot_of

Reopen = Callable[[], Awaitable[Log]]
_Error = TypeVar("_Error", bound=Exception)
_LIMIT = 20.0  # seconds for what should take milliseconds
_ROUNDS = 40  # claims until the lanes must have settled


# --- appending ---


async def test_events_are_recorded_in_the_order_of_appending(log: Log) -> None:
    for number in range(5):
        await log.append([_event(number)])
    await log.append(_events(5, 9))

    assert await _ids(log) == [f"id-{number}" for number in range(9)]


async def test_an_append_says_where_it_recorded(log: Log) -> None:
    await log.append([_event(0)])

    appended = await log.append(_events(1, 4))

    found = await log.scan(START)
    assert (appended.first, appended.last) == (found.position(found.records[1]), found.position(found.records[3]))
    assert appended.stream_version is None
    assert not appended.duplicate


async def test_appending_nothing_records_nothing(log: Log) -> None:
    appended = await log.append([])

    assert appended == Appended(START, START)
    assert await log.head() == START


async def test_an_event_comes_back_as_it_went_in(log: Log) -> None:
    event = Event(
        id="i/ä",
        source="https://shop.example/orders",
        type="order:created",
        version=3,
        data={"total": "39.90", "lines": [1, None, True]},
        subject="order/1",
        time=datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
        key="customer-1",
        correlation_id="c",
        causation_id="b",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        headers={"tenant": "north", "tries": 2, "urgent": True},
    )

    appended = await log.append([event], stream="order-1")

    found = await log.scan(START)
    restored = restore(found.records[0], appended.last)
    assert msgspec.json.decode(restored.data) == event.data
    known_once_recorded = {
        "data": restored.data,
        "position": appended.last,
        "recorded_at": from_microseconds(found.records[0].recorded_at),
        "stream": "order-1",
        "stream_version": 1,
    }
    assert restored == msgspec.structs.replace(event, **known_once_recorded)


async def test_bytes_come_back_as_they_went_in(log: Log) -> None:
    raw = bytes(range(256))

    await log.append([Event(id="1", source="camera", type="frame", data=raw, content_type="image/png")])

    found = await log.scan(START)
    assert restore(found.records[0], "").data == raw


async def test_an_event_that_cannot_be_written_leaves_its_batch_unwritten(log: Log) -> None:
    with _raises(InvalidEvent):
        await log.append([_event(1), _event(2, data=object())])

    assert await _ids(log) == []


async def test_versions_of_a_stream_are_dense(log: Log) -> None:
    first = await log.append(_events(0, 2), stream="a")
    await log.append([_event(2)], stream="b")
    await log.append([_event(3)])
    last = await log.append(_events(4, 7), stream="a")

    assert (first.stream_version, last.stream_version) == (2, 5)
    assert [record.stream_version for record in await _stream(log, "a")] == [1, 2, 3, 4, 5]
    assert [record.stream_version for record in await _stream(log, "b")] == [1]


async def test_an_append_is_made_when_the_stream_is_as_expected(log: Log) -> None:
    expected: list[Expect] = [NONE, EXISTS, ANY, 3, EXISTS, 5]

    for number, expect in enumerate(expected):
        await log.append([_event(number)], stream="a", expect=expect)

    assert len(await _stream(log, "a")) == len(expected)


async def test_an_append_is_refused_when_the_stream_is_not_as_expected(log: Log) -> None:
    await log.append(_events(0, 2), stream="a")
    wrong: list[tuple[str, Expect, object, int]] = [
        ("a", NONE, "NONE", 2),
        ("a", 0, 0, 2),
        ("a", 1, 1, 2),
        ("a", 3, 3, 2),  # too high is as wrong as too low
        ("new", EXISTS, "EXISTS", 0),
        ("new", 1, 1, 0),
    ]

    for stream, expect, expected, actual in wrong:
        with _raises(VersionConflict) as refused:
            await log.append(_events(10, 12), stream=stream, expect=expect)

        assert (refused.error.stream, refused.error.expected, refused.error.actual) == (stream, expected, actual)
    assert await _ids(log) == ["id-0", "id-1"]
    assert await _stream(log, "new") == []


async def test_an_exact_version_of_zero_is_no_stream(log: Log) -> None:
    appended = await log.append([_event(0)], stream="a", expect=0)

    assert appended.stream_version == 1


async def test_one_of_many_who_expect_the_same_version_wins(log: Log) -> None:
    for version in range(5):
        attempts = [
            log.append([_event(number)], stream="a", expect=version) for number in range(10 * version, 10 * version + 8)
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

        assert sum(isinstance(outcome, Appended) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 7
    assert [record.stream_version for record in await _stream(log, "a")] == [1, 2, 3, 4, 5]


async def test_appending_again_gives_the_first_result(log: Log) -> None:
    await log.append([_event(0)])
    first = await log.append(_events(1, 4), stream="a")
    await log.append([_event(4)], stream="a")

    again = await log.append(_events(1, 4), stream="a")

    assert again == msgspec.structs.replace(first, duplicate=True)
    assert len(await _ids(log)) == 5


async def test_ids_are_checked_before_the_expectation(log: Log) -> None:
    first = await log.append([_event(1)], stream="a", expect=NONE)

    again = await log.append([_event(1)], stream="a", expect=NONE)

    assert again == msgspec.structs.replace(first, duplicate=True)
    with _raises(PartialDuplicate):
        await log.append([_event(1), _event(2)], stream="a", expect=NONE)
    with _raises(IdReused):
        await log.append([_event(1, data="other")], stream="a", expect=NONE)


async def test_a_batch_recorded_in_part_is_refused(log: Log) -> None:
    await log.append([_event(1)])

    with _raises(PartialDuplicate) as refused:
        await log.append([_event(0), _event(1), _event(2)])

    assert (refused.error.present, refused.error.missing) == (("id-1",), ("id-0", "id-2"))
    assert await _ids(log) == ["id-1"]


async def test_an_id_with_other_content_is_refused(log: Log) -> None:
    await log.append([_event(1, key="k")])

    for other in (_event(1, key="k", data="other"), _event(1, key="other"), _event(1, key="k", type="order:paid")):
        with _raises(IdReused) as refused:
            await log.append([_event(2), other])

        assert (refused.error.id, refused.error.source) == ("id-1", "shop")
    assert await _ids(log) == ["id-1"]


async def test_an_id_used_twice_in_one_batch_is_refused(log: Log) -> None:
    with _raises(IdReused):
        await log.append([_event(1), _event(2), _event(1)])

    assert await _ids(log) == []


async def test_the_same_id_of_another_source_is_another_event(log: Log) -> None:
    await log.append([_event(1)])

    appended = await log.append([_event(1, source="bank", data="other")])

    assert not appended.duplicate
    assert await _ids(log) == ["id-1", "id-1"]


async def test_concurrent_repeats_of_one_append_record_it_once(log: Log) -> None:
    outcomes = await asyncio.gather(*[log.append(_events(0, 3)) for _ in range(10)])

    assert [outcome.duplicate for outcome in outcomes].count(False) == 1
    assert len({(outcome.first, outcome.last) for outcome in outcomes}) == 1
    assert len(await _ids(log)) == 3


async def test_a_refused_append_leaves_its_neighbours_alone(log: Log) -> None:
    await log.append([_event(0)], stream="a")
    good = [log.append([_event(number)]) for number in range(1, 50)]
    late = log.append([_event(50)], stream="a", expect=NONE)
    used = log.append([_event(51), _event(0, data="other")])

    outcomes = await asyncio.gather(*good, late, used, return_exceptions=True)

    assert all(isinstance(outcome, Appended) for outcome in outcomes[:-2])
    assert isinstance(outcomes[-2], VersionConflict)
    assert isinstance(outcomes[-1], IdReused)
    assert sorted(await _ids(log)) == sorted(f"id-{number}" for number in range(50))


async def test_absorbing_records_what_is_new(log: Log) -> None:
    await log.append(_events(0, 3))

    new = await log.absorb([_event(1), _event(3), _event(3), _event(4)])

    assert new == 2
    assert await _ids(log) == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert await log.absorb([_event(6), _event(5), _event(6)]) == 2
    assert (await _ids(log))[-2:] == ["id-6", "id-5"]
    assert await log.absorb(_events(0, 5)) == 0
    assert await log.absorb([]) == 0


async def test_a_transaction_appends_all_at_its_end_or_nothing(log: Log) -> None:
    async with log.transaction() as tx:
        appended = await log.append([_event(1)], tx=tx)
        tx.append([_event(2)])
        assert await _ids(log) == []
    with contextlib.suppress(ZeroDivisionError):
        async with log.transaction() as tx:
            await log.append([_event(3)], tx=tx)
            raise ZeroDivisionError

    assert appended == Appended(START, START)
    assert await _ids(log) == ["id-1", "id-2"]


async def test_a_cancelled_append_is_whole_or_absent_and_the_log_goes_on(log: Log) -> None:
    for number in range(30):
        batch = _events(3 * number, 3 * number + 3)
        appending = asyncio.ensure_future(log.append(batch, stream="a"))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        appending.cancel()
        await asyncio.wait([appending], timeout=_LIMIT)

        await log.append(batch, stream="a")  # as its caller would: again, with the same ids

    versions = [record.stream_version for record in await _stream(log, "a")]
    assert versions == list(range(1, 91))
    assert sorted(await _ids(log)) == sorted(f"id-{number}" for number in range(90))


# --- reading ---


async def test_a_stream_is_read_forwards_backwards_and_in_part(log: Log) -> None:
    await log.append(_events(0, 6), stream="a")
    await log.append([_event(9)], stream="b")

    assert _versions(await _stream(log, "a")) == [1, 2, 3, 4, 5, 6]
    assert _versions(await _stream(log, "a", after=2)) == [3, 4, 5, 6]
    assert _versions(await _stream(log, "a", upto=2)) == [1, 2]
    assert _versions(await _stream(log, "a", after=2, upto=4)) == [3, 4]
    assert _versions(await _stream(log, "a", after=2, upto=5, backwards=True)) == [5, 4, 3]
    assert _versions(await _stream(log, "a", after=6)) == []
    assert await _stream(log, "nobody") == []


async def test_a_long_stream_is_read_whole(log: Log) -> None:
    await log.append(_events(0, 1201), stream="a")

    assert _versions(await _stream(log, "a")) == list(range(1, 1202))
    assert _versions(await _stream(log, "a", backwards=True)) == list(range(1201, 0, -1))


async def test_head_and_tip_move_with_what_is_appended(log: Log) -> None:
    assert (await log.head(), await log.tip()) == (START, START)

    appended = await log.append(_events(0, 3))

    assert await log.head() == appended.last
    assert await log.tip() >= appended.last


async def test_positions_sort_as_text(log: Log) -> None:
    positions = [(await log.append([_event(number)])).last for number in range(40)]

    assert positions == sorted(set(positions))
    assert positions[0] > START


async def test_scans_follow_one_another_without_gap_or_repeat(log: Log) -> None:
    await log.append(_events(0, 25))

    after, ids = START, []
    for _ in range(10):
        found = await log.scan(after, limit=7)
        assert found.after == after
        after = found.upto
        ids += _ids_of(found)
        if found.at_head:
            break

    assert ids == [f"id-{number}" for number in range(25)]
    assert after == await log.head()
    assert (await log.scan(after)).records == []


async def test_a_scan_that_ends_at_the_head_says_so(log: Log) -> None:
    await log.append(_events(0, 4))

    assert not (await log.scan(START, limit=3)).at_head
    assert (await log.scan(START, limit=5)).at_head
    assert (await log.scan(await log.head())).at_head


async def test_a_position_past_the_tip_is_refused(log: Log) -> None:
    appended = await log.append([_event(0)])
    beyond = f"{appended.last[:-1]}{int(appended.last[-1], 16) + 1:x}"

    with _raises(LogTruncated) as refused:
        await log.scan(beyond)

    assert refused.error.position == beyond


async def test_a_position_of_another_log_is_refused(log: Log) -> None:
    await log.append(_events(0, 3))
    own = await log.head()

    for foreign in ("0001ffffffff-0000000000000001", "z" + own[1:], "nonsense", "-"):
        with _raises(LogTruncated):
            await log.scan(foreign)
        with _raises(LogTruncated):
            await log.ledger.join(Group("g", start=foreign))
    assert await log.ledger.groups() == []


async def test_a_scan_shows_what_it_was_asked_for(log: Log) -> None:
    await log.append([_event(0, key="a"), _event(1, key="b", type="order:paid")])
    await log.append([_event(2, key="c")], stream="s")
    await log.append([_event(3, key="d")], stream="s", public=True)
    await log.append([_event(4, key="e")], public=False)
    everything = await log.scan(START)
    lanes = frozenset({slot_of("a") % LANES, slot_of("b") % LANES})

    async def ids(where: Where) -> list[str]:
        found = await log.scan(START, where)
        assert found.upto == everything.upto
        assert found.at_head
        return _ids_of(found)

    assert await ids(Where()) == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert await ids(Where(types=frozenset({"order:paid", "order:lost"}))) == ["id-1"]
    assert await ids(Where(types=frozenset())) == []
    assert await ids(Where(public=True)) == ["id-0", "id-1", "id-3"]
    wanted = [f"id-{number}" for number, key in enumerate("abcde") if slot_of(key) % LANES in lanes]
    assert await ids(Where(lanes=lanes)) == wanted
    assert await ids(Where(lanes=frozenset(range(LANES)))) == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert await ids(Where(lanes=frozenset())) == []


async def test_a_lean_scan_leaves_out_all_but_the_data(log: Log) -> None:
    await log.append([_event(0, data={"a": 1})])

    whole = (await log.scan(START)).records[0]
    lean = (await log.scan(START, Where(lean=True))).records[0]

    assert (lean.order, lean.type, lean.version, lean.data) == (whole.order, whole.type, whole.version, whole.data)
    assert whole.envelope is not None
    assert lean.envelope is None


async def test_a_scan_moves_over_what_it_does_not_show(log: Log) -> None:
    await log.append([_event(number, type="noise") for number in range(20)])
    appended = await log.append([_event(20, type="news")])
    await log.append([_event(number, type="noise") for number in range(21, 30)])
    news = Where(types=frozenset({"news"}))

    first = await log.scan(START, news, limit=1)
    second = await log.scan(first.upto, news, limit=1)

    assert first.upto == appended.last
    assert (second.records, second.upto, second.at_head) == ([], await log.head(), True)


async def test_a_key_or_else_its_stream_decides_the_lane(log: Log) -> None:
    await log.append([_event(0, key="k"), _event(1)])
    await log.append([_event(2, key="k"), _event(3)], stream="s")

    slots = [record.slot for record in (await log.scan(START)).records]

    assert slots == [slot_of("k"), slot_of("id-1"), slot_of("k"), slot_of("s")]


async def test_a_tail_catches_up_and_then_follows(log: Log) -> None:
    await log.append(_events(0, 30))
    tail = log.tail(batch=8)

    async def write() -> None:
        for number in range(30, 90):
            await log.append([_event(number)])

    writing = asyncio.ensure_future(write())
    ids, positions = [], [START]
    async with asyncio.timeout(_LIMIT):
        async with contextlib.aclosing(_generator(tail)) as slices:
            async for found in slices:
                ids += _ids_of(found)
                assert found.after == positions[-1]
                assert len(found.records) <= 8
                positions.append(found.upto)
                if len(ids) >= 90:
                    break
        await writing

    assert ids == [f"id-{number}" for number in range(90)]
    assert positions == sorted(set(positions))


async def test_a_tail_begins_where_it_is_told_and_shows_what_is_wanted(log: Log) -> None:
    after = (await log.append([_event(0, type="news"), _event(1)])).last
    await log.append([_event(2), _event(3, type="news")])
    tail = log.tail(after=after, where=Where(types=frozenset({"news"})))

    async with asyncio.timeout(_LIMIT), contextlib.aclosing(_generator(tail)) as slices:
        found = await anext(slices)

    assert _ids_of(found) == ["id-3"]


async def test_a_tail_ends_when_it_is_cancelled_and_the_log_goes_on(log: Log) -> None:
    async def follow() -> None:
        async with contextlib.aclosing(_generator(log.tail())) as slices:
            async for _ in slices:
                pass

    following = asyncio.ensure_future(follow())
    await log.append([_event(0)])
    following.cancel()
    await asyncio.wait([following], timeout=_LIMIT)

    assert following.cancelled()
    assert await _ids(log) == ["id-0"]


async def test_an_event_is_found_by_its_id(log: Log) -> None:
    await log.append([_event(0), _event(1), _event(1, source="bank")])

    found = await log.find("id-1")

    assert [restore(record, "").source for record in found.records] == ["shop", "bank"]
    assert (await log.find("nobody")).records == []


async def test_recorded_time_never_falls(log: Log, clock: ManualClock) -> None:
    moments = (1000.0, 2000.0, 1500.0, 1.0, 2000.5)
    for number, moment in enumerate(moments):
        clock.set(moment)
        await log.append([_event(number)])

    found = await log.scan(START)

    assert [record.recorded_at for record in found.records] == [
        1_000_000_000,
        2_000_000_000,
        2_000_000_000,
        2_000_000_000,
        2_000_500_000,
    ]


async def test_a_moment_leads_to_the_last_position_before_it(log: Log, clock: ManualClock) -> None:
    positions = []
    for number, moment in enumerate((1000.0, 2000.0, 2000.0, 3000.0)):
        clock.set(moment)
        positions.append((await log.append([_event(number)])).last)

    assert await log.position_at(999.0) == START
    assert await log.position_at(1000.0) == START  # what was recorded at the moment itself lies after it
    assert await log.position_at(1000.5) == positions[0]
    assert await log.position_at(2000.0) == positions[0]
    assert await log.position_at(2999.0) == positions[2]
    assert await log.position_at(9999.0) == positions[3]


# --- groups and lanes ---


async def test_a_group_begins_where_it_was_told(log: Log) -> None:
    first = await log.append([_event(0)])
    last = await log.append([_event(1)])

    await log.ledger.join(Group("all"))
    await log.ledger.join(Group("new", start="latest"))
    await log.ledger.join(Group("from", start=first.last))

    starts = {status.name: (status.position, status.lag) for status in await log.ledger.groups()}
    assert starts == {"all": (START, 2), "new": (last.last, 0), "from": (first.last, 1)}


async def test_a_group_keeps_its_place_when_it_joins_again(log: Log) -> None:
    await log.ledger.join(Group("g", patterns=("a",), start="latest"))
    await log.append(_events(0, 3))

    await log.ledger.join(Group("g", patterns=("a", "b"), start="latest"))

    (status,) = await log.ledger.groups()
    assert (status.position, status.lag, status.patterns) == (START, 3, ("a", "b"))


async def test_one_member_gets_every_lane(log: Log) -> None:
    await log.append([_event(0)])
    await log.ledger.join(Group("g", start="latest"))
    member = await log.ledger.enter()

    lease = await log.ledger.claim("g", member)

    assert sorted(lease.lanes) == list(range(LANES))
    assert (lease.group, lease.member, lease.members, lease.state) == ("g", member, 1, "live")
    assert lease.cursor == await log.head()
    assert [status.members for status in await log.ledger.groups()] == [(member,)]


async def test_claiming_again_changes_nothing(log: Log) -> None:
    lease = await _lease(log)

    assert await log.ledger.claim(lease.group, lease.member) == lease


async def test_members_share_the_lanes_evenly(log: Log) -> None:
    await log.ledger.join(Group("g"))
    members: list[str] = []

    for count in (1, 2, 3, 17):
        members += [await log.ledger.enter() for _ in range(count - len(members))]
        leases = await _settled_leases(log, "g", members)

        owned = sorted(lane for lease in leases for lane in lease.lanes)
        sizes = [len(lease.lanes) for lease in leases]
        assert owned == list(range(LANES))
        assert max(sizes) - min(sizes) <= 1
        assert {lease.members for lease in leases} == {count}


async def test_lanes_return_when_members_leave_or_release(log: Log) -> None:
    await log.ledger.join(Group("g"))
    members = [await log.ledger.enter() for _ in range(3)]
    await _settled_leases(log, "g", members)

    await log.ledger.leave(members[0])
    await log.ledger.release("g", members[1])

    (lease,) = await _settled_leases(log, "g", members[2:])
    assert sorted(lease.lanes) == list(range(LANES))
    assert lease.members == 1


async def test_leaving_gives_back_the_lanes_of_every_group(log: Log) -> None:
    member = await log.ledger.enter()
    for name in ("a", "b"):
        await log.ledger.join(Group(name))
        await log.ledger.claim(name, member)

    await log.ledger.leave(member)

    assert [status.members for status in await log.ledger.groups()] == [(), ()]


async def test_the_fence_rises_whenever_lanes_change_hands(log: Log) -> None:
    await log.ledger.join(Group("g"))
    one, two = await log.ledger.enter(), await log.ledger.enter()
    fences = []

    fences.append((await log.ledger.claim("g", one)).fence)
    await log.ledger.claim("g", two)
    fences.append((await log.ledger.claim("g", one)).fence)  # gives half back
    fences.append((await log.ledger.claim("g", two)).fence)
    await log.ledger.release("g", one)
    fences.append((await log.ledger.claim("g", one)).fence)

    assert fences == sorted(set(fences))


async def test_groups_know_nothing_of_each_other(log: Log) -> None:
    await log.append(_events(0, 3))
    a, b = await _lease(log, "a"), await _lease(log, "b")

    await log.ledger.settle(Settlement(a, upto=await log.head(), parked=[_parked(await _record(log, 0), "dead")]))

    held = {status.name: (status.position == START, status.dead) for status in await log.ledger.groups()}
    assert held == {"a": (False, 1), "b": (True, 0)}
    assert (await log.ledger.held(b)).keys == {}


async def test_a_group_nobody_joined_cannot_be_claimed_or_changed(log: Log) -> None:
    member = await log.ledger.enter()

    with _raises(ConfigurationError):
        await log.ledger.claim("nobody", member)
    with _raises(ConfigurationError):
        await log.ledger.set_state("nobody", "paused")
    with _raises(ConfigurationError):
        await log.ledger.forget("nobody")


# --- settlements ---


async def test_a_settlement_commits_cursor_events_and_parked_together(log: Log) -> None:
    await log.append(_events(0, 3))
    lease = await _lease(log)
    upto = await log.head()
    parked = _parked(await _record(log, 1), "retry", due=5.0, attempts=2, reason="no", detail="trace")

    appended = await log.ledger.settle(Settlement(lease, upto=upto, events=_drafts(10, 12), parked=[parked]))

    assert appended is not None
    found = await log.scan(appended.first)
    assert (_ids_of(found), found.upto) == (["id-11"], appended.last)
    assert await _cursor(log) == upto
    (kept,) = await log.ledger.parked("g")
    assert (kept.order, kept.state, kept.due, kept.attempts, kept.reason) == (parked.order, "retry", 5.0, 2, "no")
    assert (kept.group, kept.detail) == ("g", "trace")
    assert kept.record is not None
    assert restore(kept.record, "").id == "id-1"


async def test_a_settlement_can_leave_the_cursor_where_it_is(log: Log) -> None:
    await log.append([_event(0)])
    lease = await _lease(log)

    assert await log.ledger.settle(Settlement(lease)) is None

    assert await _cursor(log) == START


async def test_a_cursor_never_goes_back(log: Log) -> None:
    first = await log.append([_event(0)])
    last = await log.append([_event(1)])
    lease = await _lease(log)
    await log.ledger.settle(Settlement(lease, upto=last.last))

    await log.ledger.settle(Settlement(lease, upto=first.last))

    assert await _cursor(log) == last.last


async def test_effects_recorded_before_are_passed_over(log: Log) -> None:
    await log.append([_event(0)])
    lease = await _lease(log)
    await log.ledger.settle(Settlement(lease, events=_drafts(10, 12)))

    upto = await log.head()
    again = await log.ledger.settle(Settlement(lease, upto=upto, events=_drafts(10, 13)))

    assert again is not None
    assert again.first == again.last == await log.head()
    assert await _ids(log) == ["id-0", "id-10", "id-11", "id-12"]
    assert await _cursor(log) == upto
    assert await log.ledger.settle(Settlement(lease, events=_drafts(10, 13))) is None


async def test_a_stale_settlement_commits_nothing_at_all(log: Log) -> None:
    await log.append(_events(0, 3))
    stale = await _lease(log)
    await log.ledger.settle(Settlement(stale, parked=[_parked(await _record(log, 2), "dead")]))
    other = await log.ledger.enter()
    await _settled_leases(log, "g", [stale.member, other])
    before = (await log.head(), await log.ledger.parked(), await log.ledger.groups())

    with _raises(Fenced) as refused:
        parked = [_parked(await _record(log, 1), "retry")]
        await log.ledger.settle(
            Settlement(stale, upto=await log.head(), events=_drafts(10, 12), parked=parked, cleared=[3])
        )

    assert (refused.error.group, refused.error.member) == ("g", stale.member)
    assert (await log.head(), await log.ledger.parked(), await log.ledger.groups()) == before


async def test_whoever_left_released_or_was_reset_is_fenced(log: Log) -> None:
    await log.append([_event(0)])
    upto = await log.head()

    async def release(lease: Lease) -> None:
        await log.ledger.release("g", lease.member)

    async def leave(lease: Lease) -> None:
        await log.ledger.leave(lease.member)

    async def reset(lease: Lease) -> None:
        await log.ledger.reset("g", START)

    async def forget(lease: Lease) -> None:
        await log.ledger.forget("g")

    for lose in (release, leave, reset, forget):
        lease = await _lease(log)
        await lose(lease)

        with _raises(Fenced):
            await log.ledger.settle(Settlement(lease, upto=upto))


async def test_a_settlement_past_the_end_commits_nothing(log: Log) -> None:
    appended = await log.append([_event(0)])
    lease = await _lease(log)
    beyond = f"{appended.last[:-1]}9"

    with _raises(LogTruncated):
        await log.ledger.settle(Settlement(lease, upto=beyond, events=_drafts(1, 2)))

    assert await _ids(log) == ["id-0"]
    assert await _cursor(log) == START


async def test_lanes_keep_their_places_when_they_change_hands(log: Log) -> None:
    await log.append(_events(0, 3))
    one = await _lease(log)
    await log.ledger.settle(Settlement(one, upto=await log.head()))
    await log.append(_events(3, 6))
    other = await log.ledger.enter()
    first, second = await _settled_leases(log, "g", [one.member, other])

    await log.ledger.settle(Settlement(second, upto=await log.head()))

    assert first.cursor == second.cursor  # as they were when claimed
    assert (await log.ledger.claim("g", other)).cursor == await log.head()
    assert await _cursor(log) == first.cursor  # of the slower one


async def test_a_cancelled_settlement_is_whole_or_absent(log: Log) -> None:
    await log.append(_events(0, 50))
    positions = [(await log.scan(START, limit=number + 1)).upto for number in range(50)]
    lease = await _lease(log)

    for number in range(0, 50, 2):
        effects = _drafts(100 + number, 102 + number)
        settlement = Settlement(lease, upto=positions[number], events=effects)
        settling = asyncio.ensure_future(log.ledger.settle(settlement))
        for _ in range(number % 6):
            await asyncio.sleep(0)
        settling.cancel()
        await asyncio.wait([settling], timeout=_LIMIT)

        async def has_moved() -> bool:
            return await _cursor(log) == positions[number]  # noqa: B023  # called in this round only

        async def is_recorded() -> bool:
            return bool((await log.find(f"id-{100 + number}")).records)  # noqa: B023  # likewise

        # It may commit while we look: what was there at the first look has brought the other along by the second.
        assert not await has_moved() or await is_recorded()
        assert not await is_recorded() or await has_moved()
        await log.ledger.settle(settlement)
        assert await _cursor(log) == positions[number]


# --- parked ---


async def test_retries_are_due_in_the_order_of_the_log(log: Log) -> None:
    records = await _appended(log, ["a", None, "b", "c"])
    lease = await _lease(log)
    states = [_parked(record, "retry", due=float(10 - number)) for number, record in enumerate(records)]
    await log.ledger.settle(Settlement(lease, parked=states[::-1]))

    assert await _due(log, lease, 6.0) == []
    assert await _due(log, lease, 7.0) == [4]
    assert await _due(log, lease, 9.0) == [2, 3, 4]
    assert await _due(log, lease, 10.0) == [1, 2, 3, 4]
    assert await _due(log, lease, 10.0, limit=2) == [1, 2]


async def test_what_is_due_comes_with_its_record(log: Log) -> None:
    (record,) = await _appended(log, ["a"])
    lease = await _lease(log)
    await log.ledger.settle(Settlement(lease, parked=[_parked(record, "retry")]))

    (due,) = await log.ledger.due(lease, 1.0)

    assert due.record == record


async def test_events_wait_behind_the_first_of_their_key(log: Log) -> None:
    records = await _appended(log, ["a", "a", "b", "a"])
    lease = await _lease(log)
    parked = [_parked(record, "blocked") for record in records if record.order != 3]
    parked[0] = _parked(records[0], "retry", due=5.0, attempts=1)
    await log.ledger.settle(Settlement(lease, parked=parked))

    held = await log.ledger.held(lease)
    assert (held.keys, held.blocked, held.next_due) == ({"a": 3}, 2, 5.0)
    assert await _due(log, lease, 4.0) == []
    assert await _due(log, lease, 5.0) == [1, 2, 4]


async def test_blocked_events_are_free_once_their_head_is_gone(log: Log) -> None:
    records = await _appended(log, ["a", "a", "a"])
    lease = await _lease(log)
    head, *rest = [_parked(record, "blocked") for record in records]
    head.state, head.due = "retry", 5.0
    await log.ledger.settle(Settlement(lease, parked=[head, *rest]))

    await log.ledger.settle(Settlement(lease, cleared=[1]))

    held = await log.ledger.held(lease)
    assert (held.keys, held.blocked, held.next_due) == ({"a": 2}, 2, 0.0)
    assert await _due(log, lease, 0.0) == [2, 3]


async def test_a_dead_head_holds_its_key_until_an_operator_decides(log: Log) -> None:
    records = await _appended(log, ["a", "a", "b"])
    lease = await _lease(log)
    dead = _parked(records[0], "dead", attempts=9, reason="poison")
    await log.ledger.settle(Settlement(lease, parked=[dead, _parked(records[1], "blocked")]))

    held = await log.ledger.held(lease)
    assert (held.keys, held.next_due) == ({"a": 2}, None)
    assert await _due(log, lease, 1e12) == []

    assert await log.ledger.discard("g") == 1

    assert await _due(log, lease, 0.0) == [2]
    assert [one.order for one in await log.ledger.parked("g")] == [2]


async def test_nothing_passes_an_event_of_its_key_that_must_wait(log: Log) -> None:
    records = await _appended(log, ["a", "a", "a", "b", "b", "b"])
    lease = await _lease(log)
    states: list[Any] = ["retry", "dead", "blocked", "retry", "retry", "blocked"]
    parked = [_parked(record, state) for record, state in zip(records, states, strict=True)]
    parked[4].due = 100.0
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await _due(log, lease, 1.0) == [1, 4]
    assert await _due(log, lease, 100.0) == [1, 4, 5, 6]


async def test_an_event_that_blocks_nobody_holds_nobody_up(log: Log) -> None:
    records = await _appended(log, ["a", "a", None])
    lease = await _lease(log)
    rejected = _parked(records[0], "dead")
    rejected.blocks = False
    keyless = _parked(records[2], "retry", due=3.0)
    await log.ledger.settle(Settlement(lease, parked=[rejected, _parked(records[1], "retry", due=4.0), keyless]))

    held = await log.ledger.held(lease)
    assert (held.keys, held.next_due) == ({"a": 1}, 3.0)
    assert await _due(log, lease, 9.0) == [2, 3]


async def test_parking_again_changes_what_is_known(log: Log, clock: ManualClock) -> None:
    (record,) = await _appended(log, ["a"])
    lease = await _lease(log)
    clock.set(100.0)
    await log.ledger.settle(Settlement(lease, parked=[_parked(record, "retry", attempts=1, due=5.0, reason="first")]))
    clock.set(200.0)

    await log.ledger.settle(Settlement(lease, parked=[_parked(record, "dead", attempts=2, reason="second")]))

    (kept,) = await log.ledger.parked()
    assert (kept.state, kept.attempts, kept.reason, kept.parked_at) == ("dead", 2, "second", 100.0)


async def test_an_owner_sees_what_is_parked_in_its_own_lanes(log: Log) -> None:
    keys = [f"k{number}" for number in range(30)]
    records = await _appended(log, keys)
    one = await _lease(log)
    await log.ledger.settle(Settlement(one, parked=[_parked(record, "retry") for record in records]))
    other = await log.ledger.enter()
    leases = await _settled_leases(log, "g", [one.member, other])

    seen = []
    for lease in leases:
        mine = {key for key in keys if slot_of(key) % LANES in lease.lanes}
        assert set((await log.ledger.held(lease)).keys) == mine
        seen += [parked.key for parked in await log.ledger.due(lease, 1.0)]

    assert sorted(filter(None, seen)) == sorted(keys)


async def test_a_lease_without_lanes_sees_nothing_parked(log: Log) -> None:
    records = await _appended(log, ["a", None])
    lease = await _lease(log)
    await log.ledger.settle(Settlement(lease, parked=[_parked(record, "retry") for record in records]))
    empty = msgspec.structs.replace(lease, lanes={})

    held = await log.ledger.held(empty)
    assert await _due(log, empty, 1.0) == []
    assert (held.keys, held.next_due, held.blocked) == ({}, None, 0)


async def test_operators_retry_dead_and_waiting_events(log: Log) -> None:
    records = await _appended(log, ["a", "b", "c", "c"])
    lease = await _lease(log)
    states: list[Any] = ["dead", "retry", "dead", "blocked"]
    parked = [_parked(record, state, due=9.0, attempts=3) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await log.ledger.retry("g", [1]) == 1
    assert await _due(log, lease, 0.0) == [1]
    assert await log.ledger.retry("g", [4, 77]) == 0  # it waits for another, or is not there
    assert await log.ledger.retry("g") == 3

    assert await _due(log, lease, 0.0) == [1, 2, 3, 4]
    assert [one.attempts for one in await log.ledger.parked("g", "retry")] == [0, 0, 0]


async def test_operators_discard_dead_events_only(log: Log) -> None:
    records = await _appended(log, ["a", "b", "c"])
    lease = await _lease(log)
    states: list[Any] = ["dead", "retry", "dead"]
    parked = [_parked(record, state) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await log.ledger.discard("g", [2]) == 0
    assert await log.ledger.discard("g", [1]) == 1
    assert await log.ledger.discard("g") == 1

    assert [one.order for one in await log.ledger.parked()] == [2]


async def test_parked_events_are_listed_by_group_and_state(log: Log) -> None:
    records = await _appended(log, ["a", "b"])
    for name, states in (("g", ("dead", "retry")), ("h", ("dead", "blocked"))):
        lease = await _lease(log, name)
        parked = [_parked(record, state) for record, state in zip(records, states, strict=True)]
        await log.ledger.settle(Settlement(lease, parked=parked))

    assert len(await log.ledger.parked()) == 4
    assert len(await log.ledger.parked(limit=3)) == 3
    assert [one.group for one in await log.ledger.parked(state="dead")] == ["g", "h"]
    assert [one.state for one in await log.ledger.parked("h")] == ["dead", "blocked"]
    counts = {status.name: (status.retry, status.blocked, status.dead) for status in await log.ledger.groups()}
    assert counts == {"g": (1, 0, 1), "h": (0, 1, 1)}


# --- operators ---


async def test_a_paused_group_is_paused_for_every_member(log: Log) -> None:
    lease = await _lease(log)
    other = await log.ledger.enter()

    await log.ledger.set_state("g", "paused")
    paused = [(await log.ledger.claim("g", member)).state for member in (lease.member, other)]
    await log.ledger.set_state("g", "live")

    assert paused == ["paused", "paused"]
    assert (await log.ledger.claim("g", other)).state == "live"
    assert [status.state for status in await log.ledger.groups()] == ["live"]


async def test_a_reset_group_hears_again_from_there(log: Log) -> None:
    (first, *_, last) = await _appended(log, ["a", "b", "c"])
    lease = await _lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[_parked(last, "dead")]))
    to = (await log.scan(START, limit=1)).upto

    await log.ledger.reset("g", to)

    again = await log.ledger.claim("g", lease.member)
    assert (again.cursor, set(again.lanes.values())) == (to, {first.order})
    assert again.fence > lease.fence
    assert await log.ledger.parked() == []


async def test_a_forgotten_group_is_gone_and_can_begin_anew(log: Log) -> None:
    (record,) = await _appended(log, ["a"])
    lease = await _lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[_parked(record, "dead")]))

    await log.ledger.forget("g")

    assert await log.ledger.groups() == []
    assert await log.ledger.parked() == []
    assert (await _lease(log)).cursor == START


async def test_the_bell_rings_for_events_and_for_operators(log: Log) -> None:
    ear = log.bell.listen()

    async def rings_for(change: Awaitable[Any]) -> bool:
        asking = asyncio.get_running_loop().time()
        await change
        await ear.wait(_LIMIT)
        return asyncio.get_running_loop().time() - asking < _LIMIT / 2

    assert await rings_for(log.append([_event(0)]))
    assert await rings_for(log.ledger.join(Group("g")))
    assert await rings_for(log.ledger.set_state("g", "paused"))
    log.bell.forget(ear)


# --- one log, opened more than once ---


async def test_a_log_opened_twice_is_one_log(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    try:
        await log.append([_event(0)])
        again = await other.append([_event(0)])
        await other.append([_event(1)])

        assert again.duplicate
        assert await _ids(log) == await _ids(other) == ["id-0", "id-1"]
    finally:
        await other.close()


async def test_a_waiting_reader_is_woken_by_another_writer(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    try:
        async with asyncio.timeout(_LIMIT), contextlib.aclosing(_generator(log.tail())) as slices:
            waiting = asyncio.ensure_future(anext(slices))
            await other.append([_event(0)])

            assert _ids_of(await waiting) == ["id-0"]
    finally:
        await other.close()


async def test_lanes_of_the_dead_are_free_after_a_pulse(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    await log.ledger.join(Group("g"))
    alive, dead = await log.ledger.enter(), await other.ledger.enter()
    await other.ledger.claim("g", dead)
    await log.ledger.claim("g", alive)
    await other.close()  # without having left

    await log.ledger.pulse(alive)

    lease = await log.ledger.claim("g", alive)
    assert (len(lease.lanes), lease.members) == (LANES, 1)


async def test_a_pulse_buries_nobody_alive(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    try:
        await log.ledger.join(Group("g"))
        one, two = await log.ledger.enter(), await other.ledger.enter()
        leases = await _settled_leases(log, "g", [one, two])

        await log.ledger.pulse(one)
        await other.ledger.pulse(two)

        assert [await log.ledger.claim("g", member) for member in (one, two)] == leases
    finally:
        await other.close()


async def test_a_log_is_kept_after_the_last_close_if_and_only_if_it_is_durable(
    log: Log, reopen: Reopen, durable: bool
) -> None:
    records = await _appended(log, ["a", "b"])
    lease = await _lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[_parked(records[0], "dead")]))
    before = (await log.head(), await log.ledger.parked())
    await log.ledger.leave(lease.member)
    await log.close()

    again = await reopen()
    try:
        assert ((await again.head(), await again.ledger.parked()) == before) == durable
        assert (await again.ledger.groups() != []) == durable
    finally:
        await again.close()


async def test_a_closed_log_says_so_and_closing_twice_is_harmless(log: Log) -> None:
    await log.close()
    await log.close()

    for call in (log.append([_event(0)]), log.scan(START), log.head(), log.ledger.groups(), log.ledger.enter()):
        with _raises(LogClosed):
            await call


# --- parts ---


class _Refused(Generic[_Error]):
    """What a `_raises` block met."""

    error: _Error


@contextlib.contextmanager
def _raises(kind: type[_Error]) -> Iterator[_Refused[_Error]]:
    refused: _Refused[_Error] = _Refused()
    try:
        yield refused
    except kind as error:
        refused.error = error
    else:
        raise AssertionError(f"{kind.__name__} was expected, and nothing was raised")


def _event(number: int, *, source: str = "shop", type: str = "order:created", **attributes: Any) -> Event:
    return Event(id=f"id-{number}", source=source, type=type, **{"data": {"number": number}, **attributes})


def _events(first: int, end: int) -> list[Event]:
    return [_event(number) for number in range(first, end)]


def _drafts(first: int, end: int) -> list[Any]:
    return [draft(event, public=True) for event in _events(first, end)]


async def _appended(log: Log, keys: Sequence[str | None]) -> list[Any]:
    """The records of new events with these keys, in an empty log: orders from 1."""
    await log.append([_event(number, key=key) for number, key in enumerate(keys)])
    return (await log.scan(START)).records


def _ids_of(found: Slice) -> list[str]:
    return [restore(record, found.position(record)).id for record in found.records]


async def _ids(log: Log) -> list[str]:
    return _ids_of(await log.scan(START, limit=10_000))


async def _record(log: Log, index: int) -> Any:
    return (await log.scan(START)).records[index]


async def _stream(log: Log, name: str, **options: Any) -> list[Any]:
    return [record async for found in log.read(name, **options) for record in found.records]


def _versions(records: Iterable[Any]) -> list[int]:
    return [record.stream_version for record in records]


def _generator(slices: AsyncIterator[Slice]) -> Any:
    """`aclosing` wants to know that it can be closed; every log's tail can."""
    return slices


async def _lease(log: Log, group: str = "g") -> Lease:
    """All lanes of a group, for a new member."""
    await log.ledger.join(Group(group))
    return await log.ledger.claim(group, await log.ledger.enter())


async def _settled_leases(log: Log, group: str, members: Sequence[str]) -> list[Lease]:
    """Claim in turns until nothing changes hands any more."""
    leases: list[Lease] = []
    for _ in range(_ROUNDS):
        before, leases = leases, [await log.ledger.claim(group, member) for member in members]
        if leases == before:
            return leases
    raise AssertionError(f"lanes still change hands after {_ROUNDS} rounds: {leases}")


async def _cursor(log: Log, group: str = "g") -> str:
    return next(status.position for status in await log.ledger.groups() if status.name == group)


async def _due(log: Log, lease: Lease, now: float, limit: int = 500) -> list[int]:
    return [parked.order for parked in await log.ledger.due(lease, now, limit)]


def _parked(record: Any, state: Any, **attributes: Any) -> Parked:
    event = restore(record, "")
    return Parked(record.order, record.slot, event.key, event.id, record.type, state, **attributes)
