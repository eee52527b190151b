"""What trimming promises: what is asked for goes, what somebody needs stays, and readers meet what is left."""

from collections.abc import Mapping

from tidings.clock import ManualClock
from tidings.errors import VersionConflict
from tidings.log.group import Group
from tidings.log.interface import Log
from tidings.log.position import START, order_in
from tidings.log.retention import Cut, Holder, Kind, Tally
from tidings.log.settlement import Settlement
from tidings.testing.log_conformance.words import (
    Reopen,
    ids_of,
    new_event,
    new_events,
    numbers_of,
    parked_as,
    position_of,
    raises,
    read_ids,
    read_record,
    read_stream,
    take_lease,
    versions_of,
)

ALL_OF_IT = 2**62  # an order past any
CREATED = {"order:created": Cut(ALL_OF_IT)}
KIND = Kind("order:created", in_stream=False)


async def trim(log: Log, cuts: Mapping[str, Cut]) -> dict[Kind, int]:
    """Trim from the beginning to the end; how many of each kind went."""
    after, gone = START, dict[Kind, int]()
    while True:
        step = await log.trim(cuts, after)
        for kind, tally in step.removed.items():
            gone[kind] = gone.get(kind, 0) + tally.events
        if step.upto == after or step.upto == await log.head():
            return gone
        after = step.upto


async def order_of(log: Log, number: int) -> int:
    """The order of the event with this number, counted from 1."""
    return order_in(await position_of(log, number))


async def test_what_a_cut_names_goes_and_the_rest_stays(log: Log) -> None:
    types = ["a:x", "b:x", "a:x", "b:x", "a:x", "a:x"]
    await log.append([new_event(number, type=type) for number, type in enumerate(types)])

    gone = await trim(log, {"a:x": Cut(await order_of(log, 4))})

    assert gone == {Kind("a:x", in_stream=False): 2}
    assert await read_ids(log) == ["id-1", "id-3", "id-4", "id-5"]
    assert (await log.find("id-0")).records == []
    assert ids_of(await log.find("id-4")) == ["id-4"]


async def test_a_step_looks_at_so_many_and_says_how_far_it_came(log: Log) -> None:
    await log.append(new_events(0, 10))

    places = [await position_of(log, number) for number in (4, 8)]
    first = await log.trim(CREATED, limit=4)
    second = await log.trim(CREATED, first.upto, limit=4)

    assert (first.upto, second.upto) == tuple(places)
    assert [first.removed[KIND].events, second.removed[KIND].events] == [4, 4]
    assert (first.total, second.total) == (4, 8)
    assert await read_ids(log) == ["id-8", "id-9"]


async def test_the_newest_event_stays_and_no_position_is_given_again(log: Log, reopen: Reopen) -> None:
    appended = await log.append(new_events(0, 5))
    await trim(log, CREATED)

    other = await reopen()
    later = await other.append([new_event(5)])
    await other.close()

    assert await read_ids(log) == ["id-4", "id-5"]
    assert later.first > appended.last


async def test_log_time_goes_on_from_what_was_trimmed(log: Log, clock: ManualClock) -> None:
    clock.set(2000.0)
    await log.append(new_events(0, 3))
    await trim(log, CREATED)
    clock.set(1000.0)

    await log.append([new_event(3)])

    assert [record.recorded_at for record in (await log.scan(START)).records] == [2_000_000_000, 2_000_000_000]


async def test_what_a_group_has_yet_to_hear_stays(log: Log) -> None:
    await log.append(new_events(0, 6))
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await position_of(log, 3)))

    step = await log.trim(CREATED)

    assert await read_ids(log) == ["id-3", "id-4", "id-5"]
    assert step.held[KIND, Holder("cursor", "g")].events == 2  # the newest is not asked for


async def test_a_paused_group_holds_back_and_a_deleted_one_does_not(log: Log) -> None:
    await log.append(new_events(0, 4))
    await take_lease(log)
    await log.ledger.set_state("g", "paused")

    assert await trim(log, CREATED) == {}

    await log.ledger.forget("g")
    assert await trim(log, CREATED) == {KIND: 3}


async def test_a_group_that_nobody_has_run_for_long_holds_nothing_back(log: Log, clock: ManualClock) -> None:
    await log.ledger.join(Group("g", orphan_after=86_400.0))
    await log.append(new_events(0, 3))
    clock.advance(86_000.0)
    before = await log.trim(CREATED, dry_run=True)
    clock.advance(500.0)

    await trim(log, CREATED)

    assert before.removed == {}
    assert await read_ids(log) == ["id-2"]


async def test_a_group_that_is_run_is_no_orphan_however_long_it_has_nothing_to_do(log: Log, clock: ManualClock) -> None:
    await log.ledger.join(Group("g", orphan_after=86_400.0))
    await log.append(new_events(0, 3))
    member = await log.ledger.enter()
    await log.ledger.claim("g", member)
    clock.advance(1_000_000.0)

    await trim(log, CREATED)

    assert len(await read_ids(log)) == 3


async def test_a_group_holds_back_only_what_it_hears(log: Log) -> None:
    await log.append([new_event(number, type=type) for number, type in enumerate(["a:x", "b:x", "a:x", "c:x"])])
    await log.ledger.join(Group("g", ("a:*",)))
    await log.ledger.join(Group("duty", ()))

    await trim(log, {type: Cut(ALL_OF_IT) for type in ("a:x", "b:x", "c:x")})

    assert await read_ids(log) == ["id-0", "id-2", "id-3"]


async def test_what_is_parked_stays_in_whatever_state(log: Log) -> None:
    await log.append(new_events(0, 6))
    lease = await take_lease(log)
    first, third = await order_of(log, 1), await order_of(log, 3)
    states = [parked_as(await read_record(log, index), state) for index, state in ((0, "retry"), (2, "dead"))]
    blocked = parked_as(await read_record(log, 3), "blocked")
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[*states, blocked]))

    step = await log.trim(CREATED)

    assert await read_ids(log) == ["id-0", "id-2", "id-3", "id-5"]
    assert step.held[KIND, Holder("parked", "g")].events == 3
    assert all(one.record is not None for one in await log.ledger.parked())

    await log.ledger.settle(Settlement(lease, cleared=[first]))
    await log.ledger.discard("g", [third])
    await trim(log, CREATED)
    assert await read_ids(log) == ["id-3", "id-5"]


async def test_a_dry_run_tells_what_would_go_and_removes_nothing(log: Log) -> None:
    await log.append(new_events(0, 5))

    told = await log.trim(CREATED, dry_run=True)
    done = await log.trim(CREATED)

    assert (told.removed, told.total) == (done.removed, done.total)
    assert done.removed[KIND].events == 4
    assert done.removed[KIND].bytes > 4 * len(b'{"number":1}')


async def test_streams_stay_unless_they_are_asked_for(log: Log) -> None:
    await log.append(new_events(0, 3), stream="s")
    await log.append([new_event(9)])

    assert await trim(log, CREATED) == {}

    gone = await trim(log, {"order:created": Cut(ALL_OF_IT, streams=True)})
    assert gone == {Kind("order:created", in_stream=True): 2}


async def test_a_trimmed_stream_tells_where_it_begins_and_goes_on_counting(log: Log) -> None:
    await log.append(new_events(0, 4), stream="s")
    await log.append([new_event(9)])
    await trim(log, {"order:created": Cut(await order_of(log, 2), streams=True)})

    appended = await log.append([new_event(4)], stream="s", expect=4)

    assert appended.stream_version == 5
    assert versions_of(await read_stream(log, "s")) == [3, 4, 5]
    assert versions_of(await read_stream(log, "s", after=3, upto=4)) == [4]
    assert versions_of(await read_stream(log, "s", upto=3, backwards=True)) == [3]
    with raises(VersionConflict):
        await log.append([new_event(5)], stream="s", expect=3)


async def test_a_stream_is_trimmed_from_its_beginning_only_and_keeps_its_newest(log: Log) -> None:
    types = ["a:x", "b:x", "a:x"]
    for stream in ("s", "t"):
        made = [new_event(f"{stream}{number}", type=type) for number, type in enumerate(types)]
        await log.append(made, stream=stream)
    await log.append([new_event(9)])

    step = await log.trim({"a:x": Cut(ALL_OF_IT, streams=True)})

    assert versions_of(await read_stream(log, "s")) == [2, 3]
    assert versions_of(await read_stream(log, "t")) == [2, 3]
    assert step.held[Kind("a:x", in_stream=True), Holder("stream")].events == 2


async def test_whoever_reads_on_from_a_trimmed_place_meets_what_is_left(log: Log) -> None:
    await log.append(new_events(0, 10))
    places = [log_slice.position(record) for log_slice in [await log.scan(START)] for record in log_slice.records]
    await trim(log, {"order:created": Cut(await order_of(log, 7))})

    found = await log.scan(places[2], limit=2)

    assert ids_of(found) == ["id-7", "id-8"]
    assert not found.at_head
    assert ids_of(await log.scan(found.upto)) == ["id-9"]


async def test_a_new_group_begins_at_the_first_that_is_kept(log: Log) -> None:
    await log.append(new_events(0, 10))
    await trim(log, {"order:created": Cut(await order_of(log, 7))})

    lease = await take_lease(log)
    found = await log.scan(lease.cursor)

    assert ids_of(found) == ["id-7", "id-8", "id-9"]
    assert [status.lag for status in await log.ledger.groups()] == [3]


async def test_a_long_hole_is_passed_over_at_once(log: Log) -> None:
    for start in range(0, 45_000, 5000):
        await log.append(new_events(start, start + 5000))
    await trim(log, {"order:created": Cut((await log.find("id-44989")).records[0].order)})

    found = await log.scan(START, limit=3)
    found = await log.scan(found.upto, limit=3) if not found.records else found

    assert ids_of(found) == ["id-44990", "id-44991", "id-44992"]
    survey = await log.survey(START)
    assert (survey.kinds[KIND].events, survey.at_head, survey.trimmed) == (10, True, 44_990)


async def test_a_moment_leads_to_the_last_kept_position_before_it(log: Log, clock: ManualClock) -> None:
    positions = []
    for number, moment in enumerate((1000.0, 2000.0, 3000.0, 4000.0, 5000.0)):
        clock.set(moment)
        positions.append((await log.append([new_event(number)])).last)
    records = (await log.scan(START)).records
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, upto=positions[-1], parked=[parked_as(records[1], "dead")]))
    await trim(log, CREATED)

    assert await read_ids(log) == ["id-1", "id-4"]
    assert await log.position_at(1500.0) == START
    assert await log.position_at(2000.5) == positions[1]
    assert await log.position_at(4500.0) == positions[1]
    assert await log.position_at(9999.0) == positions[4]


async def test_a_repeated_id_is_known_as_long_as_its_event_is_kept(log: Log) -> None:
    await log.append(new_events(0, 3))
    await trim(log, {"order:created": Cut(await order_of(log, 1))})

    assert (await log.append([new_event(1)])).duplicate
    assert not (await log.append([new_event(0)])).duplicate


async def test_a_survey_counts_names_sizes_and_the_oldest(log: Log, clock: ManualClock) -> None:
    clock.set(1000.0)
    await log.append([new_event(0, data="x" * 1000), new_event(1, type="a:x")])
    clock.set(2000.0)
    await log.append([new_event(2), new_event(3)], stream="s")

    survey = await log.survey(START)
    half = await log.survey(START, 3)

    assert {kind: (tally.events, tally.oldest) for kind, tally in survey.kinds.items()} == {
        KIND: (1, 1_000_000_000),
        Kind("a:x", in_stream=False): (1, 1_000_000_000),
        Kind("order:created", in_stream=True): (2, 2_000_000_000),
    }
    assert survey.kinds[KIND].bytes > 1000
    third = await position_of(log, 3)
    assert (survey.upto, survey.at_head, half.upto, half.at_head) == (await log.head(), True, third, False)
    assert half.kinds.get(Kind("order:created", in_stream=True), Tally()).events == 1
    assert (await log.survey(survey.upto)).kinds == {}


async def test_old_dead_letters_of_a_name_are_dropped_and_nothing_else(log: Log, clock: ManualClock) -> None:
    await log.append([new_event(number, type=type) for number, type in enumerate(["a:x", "a:x", "b:x", "a:x"])])
    lease = await take_lease(log)
    records = (await log.scan(START)).records
    clock.set(1000.0)
    old = [parked_as(records[0], "dead"), parked_as(records[1], "retry"), parked_as(records[2], "dead")]
    await log.ledger.settle(Settlement(lease, parked=old))
    clock.set(2000.0)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[3], "dead")]))

    assert await log.ledger.expire(1500.0, ["a:x"]) == 1

    assert await numbers_of(log, await log.ledger.parked("g")) == [2, 3, 4]
