"""What positions and log time promise: they only rise, and those of another log or past the end are refused."""

from tidings.clock import ManualClock
from tidings.errors import LogTruncated
from tidings.log.group import Group
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.testing.log_conformance.words import new_event, new_events, raises


async def test_head_and_tip_move_with_what_is_appended(log: Log) -> None:
    assert (await log.head(), await log.tip()) == (START, START)

    appended = await log.append(new_events(0, 3))

    assert await log.head() == appended.last
    assert await log.tip() >= appended.last


async def test_positions_sort_as_text(log: Log) -> None:
    positions = [(await log.append([new_event(number)])).last for number in range(40)]

    assert positions == sorted(set(positions))
    assert positions[0] > START


async def test_a_position_past_the_tip_is_refused(log: Log) -> None:
    appended = await log.append([new_event(0)])
    beyond = f"{appended.last[:-1]}{int(appended.last[-1], 16) + 1:x}"

    with raises(LogTruncated) as refused:
        await log.scan(beyond)

    assert refused.error.position == beyond


async def test_a_position_of_another_log_is_refused(log: Log) -> None:
    await log.append(new_events(0, 3))
    own = await log.head()

    for foreign in ("0001ffffffff-0000000000000001", "z" + own[1:], "nonsense", "-"):
        with raises(LogTruncated):
            await log.scan(foreign)
        with raises(LogTruncated):
            await log.ledger.join(Group("g", start=foreign))
    assert await log.ledger.groups() == []


async def test_recorded_time_never_falls(log: Log, clock: ManualClock) -> None:
    moments = (1000.0, 2000.0, 1500.0, 1.0, 2000.5)
    for number, moment in enumerate(moments):
        clock.set(moment)
        await log.append([new_event(number)])

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
        positions.append((await log.append([new_event(number)])).last)

    assert await log.position_at(999.0) == START
    assert await log.position_at(1000.0) == START  # what was recorded at the moment itself lies after it
    assert await log.position_at(1000.5) == positions[0]
    assert await log.position_at(2000.0) == positions[0]
    assert await log.position_at(2999.0) == positions[2]
    assert await log.position_at(9999.0) == positions[3]
