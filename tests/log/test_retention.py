"""Rules of retention, and what they come to on a log: sizes to the event, and nothing that somebody still needs."""

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tidings.clock import ManualClock
from tidings.errors import ConfigurationError, InvalidName
from tidings.events import Event
from tidings.log import Log, Retain, Settlement, open_log
from tidings.log.census import BLOCK, Census
from tidings.log.group import Group
from tidings.log.position import order_in
from tidings.log.retention import Holder, Kind, Retention
from tidings.log.trimming import sweep, usage
from tidings.testing.log_conformance.words import parked_as, take_lease

_names = itertools.count()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Log]:
    urls = {"memory": f"memory:retention-{next(_names)}", "sqlite": f"sqlite:///{tmp_path}/log.db"}
    opened = await open_log(urls[request.param], clock=clock)
    yield opened
    await opened.close()


def event(number: int, type: str = "a:x", **attributes: Any) -> Event:
    return Event(**{"id": f"id-{number}", "source": "shop", "type": type, "data": {"n": number}} | attributes)


async def orders(log: Log) -> list[int]:
    found, after = [], ""
    while True:
        look = await log.scan(after, limit=5000)
        found += [record.order for record in look.records]
        if look.at_head:
            return found
        after = look.upto


async def trim(log: Log, clock: ManualClock, rules: dict[str, Retain], census: Census | None = None) -> int:
    steps = [step async for step in sweep(log, Retention(rules), census or Census(), clock.now())]
    return sum(tally.events for step in steps for tally in step.removed.values())


def test_ages_and_sizes_are_read_as_people_write_them() -> None:
    assert Retain(age="30d").seconds == 30 * 86_400
    assert Retain(age="1.5 h").seconds == 5400
    assert Retain(age=timedelta(minutes=2)).seconds == 120
    assert Retain(size="1 GB").bytes == 10**9
    assert Retain(size="500kb").bytes == 500_000
    assert Retain(size=1234).bytes == 1234
    assert str(Retain(age="30d", consumed=True)) == "Retain(age='30d', consumed=True)"


@pytest.mark.parametrize("wrong", [{"age": "a month"}, {"age": "0d"}, {"size": "1 GX"}, {"size": 0}, {"dead": "-1d"}])
def test_what_is_no_limit_is_refused_in_one_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"write it as in|give a limit above 0"):
        Retain(**wrong)


def test_the_first_pattern_that_fits_decides() -> None:
    keep, short = Retain(), Retain(age="1d")
    retention = Retention({"order:paid": keep, "order:*": short})

    assert retention.rule("order:paid") is keep
    assert retention.rule("order:created") is short
    assert retention.rule("stock:moved") is None


def test_a_rule_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"retain= of 'order:\*'"):
        Retention({"order:*": "30d"})  # type: ignore[dict-item]  # what a user may write
    with pytest.raises(InvalidName):
        Retention({"ord*": Retain()})


async def test_events_past_their_age_go(log: Log, clock: ManualClock) -> None:
    for number in range(5):
        await log.append([event(2 * number), event(2 * number + 1, "b:x")])
        clock.advance(86_400)

    await trim(log, clock, {"a:*": Retain(age="3d")})

    assert await orders(log) == [2, 4, 5, 6, 7, 8, 9, 10]


async def test_the_oldest_go_until_the_rest_fits_its_size_to_the_event(log: Log, clock: ManualClock) -> None:
    await log.append([event(number, "a:x" if number % 3 else "b:x") for number in range(300)])
    one = (await log.survey("", 2)).kinds[Kind("a:x", in_stream=False)].bytes

    await trim(log, clock, {"a:*": Retain(size=one * 50 + 49)})

    left = [order for order in await orders(log) if (order - 1) % 3]
    assert len(left) == pytest.approx(50, abs=3)  # an event's size grows with the digits in it
    assert left == [order for order in range(1, 301) if (order - 1) % 3][-len(left) :]


async def test_sizes_over_many_blocks_are_counted_once_and_then_kept_up(log: Log, clock: ManualClock) -> None:
    census, count = Census(), 2 * BLOCK + 1500
    for first in range(0, count, 1000):
        await log.append([event(number, data="x" * 200) for number in range(first, min(first + 1000, count))])
    total = 0
    async for block in census.count(log):
        total += sum(tally.bytes for tally in block.kinds.values())
    assert len(census.blocks) == 3
    limit = census.tally(lambda kind: True).bytes // 2

    gone = await trim(log, clock, {"**": Retain(size=limit)}, census)
    left = await orders(log)
    again = Census()
    async for _ in again.count(log):
        pass

    assert left == list(range(gone + 1, count + 1))
    assert again.tally(lambda kind: True).bytes == census.tally(lambda kind: True).bytes
    assert limit - 1000 < again.tally(lambda kind: True).bytes <= limit
    assert await trim(log, clock, {"**": Retain(size=limit)}, census) == 0


async def test_counts_that_somebody_elses_trimming_made_wrong_remove_nothing_too_much(
    log: Log, clock: ManualClock
) -> None:
    await log.append([event(number, "a:x" if number % 2 else "a:y") for number in range(1000)])
    mine = Census()
    await trim(log, clock, {"a:*": Retain(size="1 GB")}, mine)
    half = mine.tally(lambda kind: kind.type == "a:x").bytes

    await trim(log, clock, {"a:y": Retain(size=1)})  # another application's rule
    gone = await trim(log, clock, {"a:*": Retain(size=half + 1000)}, mine)

    assert gone == 0
    assert len(await orders(log)) == 500


async def test_consumed_events_go_once_all_that_hear_them_are_past_them(log: Log, clock: ManualClock) -> None:
    await log.append([event(number, ("a:x", "b:x")[number % 2]) for number in range(10)])
    lease = await take_lease(log, "g")
    await log.ledger.join(Group("h", ("a:*",)))
    await log.ledger.settle(Settlement(lease, upto=lease.epoch.position(6)))

    await trim(log, clock, {"**": Retain(consumed=True)})

    assert await orders(log) == [1, 3, 5, 7, 8, 9, 10]


async def test_what_nobody_hears_is_not_consumed(log: Log, clock: ManualClock) -> None:
    await log.append([event(number) for number in range(10)])

    assert await trim(log, clock, {"**": Retain(consumed=True)}) == 0


async def test_what_a_group_lets_go_of_goes_in_a_later_round(log: Log, clock: ManualClock) -> None:
    await log.append([event(number) for number in range(6)])
    lease = await take_lease(log)
    record = (await log.scan("")).records[1]
    parked = Settlement(lease, upto=await log.head(), parked=[parked_as(record, "dead")])
    await log.ledger.settle(parked)
    census, rules = Census(), {"**": Retain(consumed=True)}
    assert await trim(log, clock, rules, census) == 4

    await log.ledger.discard("g")
    clock.advance(3600)

    assert await trim(log, clock, rules, census) == 1
    assert await orders(log) == [6]


async def test_dead_letters_are_dropped_when_their_rule_says_so(log: Log, clock: ManualClock) -> None:
    await log.append([event(0), event(1, "b:x"), event(2)])
    lease = await take_lease(log)
    records = (await log.scan("")).records
    parked = [parked_as(record, "dead") for record in records[:2]]
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=parked))
    clock.advance(2 * 86_400)

    await trim(log, clock, {"a:*": Retain(dead="1d")})

    assert [one.type for one in await log.ledger.parked()] == ["b:x"]


async def test_usage_tells_what_would_go_and_who_holds_the_rest(log: Log, clock: ManualClock) -> None:
    await log.append([event(number, ("a:x", "b:x")[number % 2]) for number in range(10)])
    lease = await take_lease(log, "slow")
    record = (await log.scan("")).records[0]
    await log.ledger.settle(Settlement(lease, upto=lease.epoch.position(4), parked=[parked_as(record, "retry", due=9)]))
    clock.advance(7200)

    told = await usage(log, Retention({"a:*": Retain(age="1h")}), clock.now())

    rule, rest = told.shares
    assert (rule.pattern, rule.rule, rule.there.events, rule.goes.events) == ("a:*", "Retain(age='1h')", 5, 1)
    assert {str(holder): tally.events for holder, tally in rule.held.items()} == {
        "slow has set them aside": 1,
        "slow has yet to hear them": 3,
    }
    assert rule.held[Holder("cursor", "slow")].bytes > 0
    assert (rest.pattern, rest.there.events, rest.goes.events) == ("everything else", 5, 0)
    assert len(await orders(log)) == 10
    if log.has_sql:
        assert told.disk.file > 0
    assert order_in(await log.head()) == 10
