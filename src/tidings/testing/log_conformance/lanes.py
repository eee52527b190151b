"""What groups and lanes promise: a place to begin, a fair share each, a fence when lanes change hands."""

from tidings.errors import ConfigurationError
from tidings.log.group import LANES, Group
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.settlement import Settlement
from tidings.testing.log_conformance.words import (
    Reopen,
    new_event,
    new_events,
    parked_as,
    raises,
    read_cursor,
    read_record,
    settled_leases,
    take_lease,
)


async def test_a_group_begins_where_it_was_told(log: Log) -> None:
    first = await log.append([new_event(0)])
    last = await log.append([new_event(1)])

    await log.ledger.join(Group("all"))
    await log.ledger.join(Group("new", start="latest"))
    await log.ledger.join(Group("from", start=first.last))

    starts = {status.name: (status.position, status.lag) for status in await log.ledger.groups()}
    assert starts == {"all": (START, 2), "new": (last.last, 0), "from": (first.last, 1)}


async def test_a_group_keeps_its_place_when_it_joins_again(log: Log) -> None:
    await log.ledger.join(Group("g", patterns=("a",), start="latest"))
    await log.append(new_events(0, 3))

    await log.ledger.join(Group("g", patterns=("a", "b"), start="latest"))

    (status,) = await log.ledger.groups()
    assert (status.position, status.lag, status.patterns) == (START, 3, ("a", "b"))


async def test_one_member_gets_every_lane(log: Log) -> None:
    await log.append([new_event(0)])
    await log.ledger.join(Group("g", start="latest"))
    member = await log.ledger.enter()

    lease = await log.ledger.claim("g", member)

    assert sorted(lease.lanes) == list(range(LANES))
    assert (lease.group, lease.member, lease.members, lease.state) == ("g", member, 1, "live")
    assert lease.cursor == await log.head()
    assert [status.members for status in await log.ledger.groups()] == [(member,)]


async def test_claiming_again_changes_nothing(log: Log) -> None:
    lease = await take_lease(log)

    assert await log.ledger.claim(lease.group, lease.member) == lease


async def test_members_share_the_lanes_evenly(log: Log) -> None:
    await log.ledger.join(Group("g"))
    members: list[str] = []

    for count in (1, 2, 3, 17):
        members += [await log.ledger.enter() for _ in range(count - len(members))]
        leases = await settled_leases(log, "g", members)

        owned = sorted(lane for lease in leases for lane in lease.lanes)
        sizes = [len(lease.lanes) for lease in leases]
        assert owned == list(range(LANES))
        assert max(sizes) - min(sizes) <= 1
        assert {lease.members for lease in leases} == {count}


async def test_lanes_return_when_members_leave_or_release(log: Log) -> None:
    await log.ledger.join(Group("g"))
    members = [await log.ledger.enter() for _ in range(3)]
    await settled_leases(log, "g", members)

    await log.ledger.leave(members[0])
    await log.ledger.release("g", members[1])

    (lease,) = await settled_leases(log, "g", members[2:])
    assert sorted(lease.lanes) == list(range(LANES))
    assert lease.members == 1


async def test_a_lone_owner_has_every_lane_until_it_leaves(log: Log) -> None:
    await log.ledger.join(Group("g"))
    one, other = await log.ledger.enter(), await log.ledger.enter()

    first = await log.ledger.claim("g", one, alone=True)
    second = await log.ledger.claim("g", other, alone=True)
    again = await log.ledger.claim("g", one, alone=True)

    assert (sorted(first.lanes), second.lanes, again.fence) == (list(range(LANES)), {}, first.fence)
    await log.ledger.leave(one)
    heir = await log.ledger.claim("g", other, alone=True)
    assert sorted(heir.lanes) == list(range(LANES))
    assert heir.fence > first.fence


async def test_a_lone_owner_takes_no_lane_from_those_who_shared_before(log: Log) -> None:
    await log.ledger.join(Group("g"))
    members = sorted([await log.ledger.enter() for _ in range(2)])
    shared = await settled_leases(log, "g", members)

    kept = await log.ledger.claim("g", members[0], alone=True)
    given_back = await log.ledger.claim("g", members[1], alone=True)
    whole = await log.ledger.claim("g", members[0], alone=True)

    assert kept.lanes == shared[0].lanes
    assert given_back.lanes == {}
    assert sorted(whole.lanes) == list(range(LANES))


async def test_lanes_of_a_lone_owner_that_died_are_free_after_a_pulse(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    await log.ledger.join(Group("g"))
    alive, dead = await log.ledger.enter(), await other.ledger.enter()
    await other.ledger.claim("g", dead, alone=True)
    assert (await log.ledger.claim("g", alive, alone=True)).lanes == {}
    await other.close()  # without having left

    await log.ledger.pulse(alive)

    assert len((await log.ledger.claim("g", alive, alone=True)).lanes) == LANES


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
    await log.append(new_events(0, 3))
    a, b = await take_lease(log, "a"), await take_lease(log, "b")

    await log.ledger.settle(Settlement(a, upto=await log.head(), parked=[parked_as(await read_record(log, 0), "dead")]))

    held = {status.name: (status.position == START, status.dead) for status in await log.ledger.groups()}
    assert held == {"a": (False, 1), "b": (True, 0)}
    assert (await log.ledger.held(b)).keys == {}


async def test_a_group_nobody_joined_cannot_be_claimed_or_changed(log: Log) -> None:
    member = await log.ledger.enter()

    with raises(ConfigurationError):
        await log.ledger.claim("nobody", member)
    with raises(ConfigurationError):
        await log.ledger.set_state("nobody", "paused")
    with raises(ConfigurationError):
        await log.ledger.forget("nobody")


async def test_lanes_keep_their_places_when_they_change_hands(log: Log) -> None:
    await log.append(new_events(0, 3))
    one = await take_lease(log)
    await log.ledger.settle(Settlement(one, upto=await log.head()))
    await log.append(new_events(3, 6))
    other = await log.ledger.enter()
    first, second = await settled_leases(log, "g", [one.member, other])

    await log.ledger.settle(Settlement(second, upto=await log.head()))

    assert first.cursor == second.cursor  # as they were when claimed
    assert (await log.ledger.claim("g", other)).cursor == await log.head()
    assert await read_cursor(log) == first.cursor  # of the slower one


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
        leases = await settled_leases(log, "g", [one, two])

        await log.ledger.pulse(one)
        await other.ledger.pulse(two)

        assert [await log.ledger.claim("g", member) for member in (one, two)] == leases
    finally:
        await other.close()
