"""What single answers promise, in whatever order they are given: settled, again later, given up."""

import asyncio
import time

from tidings.brokers import Broker, Capabilities, DeadLetter, Inbox
from tidings.errors import ConfigurationError
from tidings.testing.broker_conformance.words import (
    Connect,
    ids_of,
    new_event,
    new_events,
    take,
    take_arrivals,
    take_until_marked,
    within,
)

_SOON = 0.3  # seconds


async def test_what_is_settled_out_of_order_costs_nothing_that_is_not(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not (capabilities.groups and capabilities.remembers):
        return
    events = new_events(0, 6, key="one")
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(events)
        arrivals = {each.event.id: each for each in await take_arrivals(inbox, ids_of(events))}
        await inbox.settle([arrivals["id-5"], arrivals["id-1"], arrivals["id-0"]])
    async with broker.subscribe(["**"], group="g") as inbox:
        again = {event.id for event in await take(inbox, ["id-2", "id-3", "id-4"])}

    assert not again & {"id-0", "id-1"}, "they were settled, and no earlier one was left"


async def test_no_more_is_unsettled_than_was_agreed(connect: Connect, capabilities: Capabilities) -> None:
    events = new_events(0, 30)
    broker = await connect()

    async with broker.subscribe(["**"], group="g", prefetch=10) as inbox:
        await broker.publish(events)
        arrivals = await take_arrivals(inbox, (), at_least=10)
        assert len(arrivals) == 10
        more = asyncio.ensure_future(inbox.receive())
        await asyncio.wait([more], timeout=_SOON)
        assert not more.done(), f"it handed over {len(arrivals) + len(more.result())} with prefetch=10"
        await inbox.settle(arrivals[:4])
        async with within("the receipt of what there is room for"):
            arrivals += await more
        assert 10 < len(arrivals) <= 14


async def test_a_group_is_forgotten_and_begins_anew_but_not_while_it_is_run(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not capabilities.forgets:
        return
    broker, events = await connect(), new_events(0, 3)

    async with broker.subscribe(["**"], group="g") as inbox, broker.subscribe(["**"], group="other") as other:
        await broker.publish(events)
        arrivals = await take_arrivals(inbox, ids_of(events))
        await inbox.reject(arrivals[0], "bad")
        await inbox.settle(arrivals[1:])
        refused = False
        try:
            await broker.forget("g")
        except ConfigurationError:
            refused = True
        assert refused, "it was forgotten with a member at work"
        await take(other, ids_of(events))
    await broker.forget("g")

    assert "g" not in [each.group for each in await broker.groups()]
    assert await broker.letters("g") == []
    async with broker.subscribe(["**"], group="g") as inbox:
        await take(inbox, ids_of(events))
    await broker.forget("nobody")


async def test_an_event_can_be_had_again_later(connect: Connect, capabilities: Capabilities) -> None:
    if not capabilities.delay:
        return
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 3))
        arrivals = {each.event.id: each for each in await take_arrivals(inbox, ids_of(new_events(0, 3)))}
        asked = time.monotonic()
        failed = arrivals.pop("id-1")
        failed.attempt = 4  # that many calls were made of it
        await inbox.retry(failed, _SOON)
        await inbox.settle(list(arrivals.values()))
        [again] = await take_arrivals(inbox, ["id-1"])
        waited = time.monotonic() - asked
        await inbox.settle([again])
        assert await take_until_marked(broker, inbox) == []

    assert waited >= _SOON * 0.9, f"it came after {waited:.3f} s, and {_SOON} were asked for"
    assert again.attempt == 5, "calls are not made twice for what the carrier does not count"


async def test_what_a_group_is_to_have_again_later_is_part_of_its_lag(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not (capabilities.delay and capabilities.lag):
        return
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 2))
        failed, done = await take_arrivals(inbox, ids_of(new_events(0, 2)))
        await inbox.retry(failed, 60.0)
        await inbox.settle([done])
        assert await _lag(broker, 1) == 1
    assert await _lag(broker, 1) == 1


async def test_what_is_given_up_is_kept_with_the_reason(connect: Connect, capabilities: Capabilities) -> None:
    if not capabilities.dead_letters:
        return
    broker, event = await connect(), new_event(1, key="k", headers={"tenant": "nörd"})

    async with broker.subscribe(["**"], group="g") as inbox, broker.subscribe(["**"], group="other") as other:
        await broker.publish([event])
        await _give_up(inbox, event.id)
        assert await take_until_marked(broker, inbox) == []
        assert ids_of(await take(other, [event.id])) != [], "another group hears it all the same"
    [letter] = await _letters(broker, "g", 1)

    assert (letter.group, letter.event.id, letter.event.key) == ("g", event.id, "k")
    assert letter.event.headers == event.headers
    assert (letter.reason, letter.detail) == ("ValueError: no stock", "Traceback: …\n  line 2")
    assert await broker.letters("other") == []


async def test_a_dead_letter_is_handed_to_its_group_again_or_dropped(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not capabilities.dead_letters:
        return
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox, broker.subscribe(["**"], group="other") as other:
        await broker.publish(new_events(0, 2))
        await take(other, ["id-0", "id-1"])
        await _give_up(inbox, "id-0", "id-1")
        letters = {letter.event.id: letter for letter in await _letters(broker, "g", 2)}
        await broker.resolve(letters["id-0"], again=True)
        await broker.resolve(letters["id-1"], again=False)

        assert ids_of(await take(inbox, ["id-0"])) == ["id-0"]
        assert await _letters(broker, "g", 0) == []
        assert await take_until_marked(broker, other) == [], "it was handed to another group, too"


async def test_how_much_a_group_has_still_to_receive_is_told(connect: Connect, capabilities: Capabilities) -> None:
    if not capabilities.lag:
        return
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 10))
        arrivals = await take_arrivals(inbox, ids_of(new_events(0, 10)))
        assert await _lag(broker, 10) == 10
        await inbox.settle(arrivals)
        assert await _lag(broker, 0) == 0


async def test_without_a_group_everybody_hears_what_comes_from_now_on(
    connect: Connect, capabilities: Capabilities
) -> None:
    broker, other = await connect(), await connect()
    await broker.publish([new_event(0)])

    async with broker.subscribe(["**"], group=None) as first, other.subscribe(["**"], group=None) as second:
        await broker.publish([new_event(1), new_event(2)])
        for inbox in (first, second):
            assert sorted(ids_of(await take(inbox, ["id-1", "id-2"]))) == ["id-1", "id-2"]


async def _give_up(inbox: Inbox, *ids: str) -> None:
    for arrival in await take_arrivals(inbox, ids):
        if arrival.event.id in ids:
            await inbox.reject(arrival, "ValueError: no stock", "Traceback: …\n  line 2")
        else:
            await inbox.settle([arrival])


async def _letters(broker: Broker, group: str, count: int) -> list[DeadLetter]:
    """The dead letters, once there are so many: a carrier may take a moment to show them."""
    letters: list[DeadLetter] = []
    async with within(f"{count} dead letters", lambda: letters):
        letters = await broker.letters(group)
        while len(letters) != count:
            await asyncio.sleep(0.01)
            letters = await broker.letters(group)
    return letters


async def _lag(broker: Broker, expected: int) -> int | None:
    """A group's lag, once it is as expected: a carrier may take a moment to show it."""
    lag: int | None = None
    async with within(f"a lag of {expected}", lambda: lag):
        while lag != expected:
            lag = {each.group: each.lag for each in await broker.groups()}.get("g")
            await asyncio.sleep(0.01)
    return lag
