"""The conformance suite is worth something: brokers that claim too much, or too little, or lose and invent, fail it."""

import asyncio
import contextlib
import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

import msgspec
import pytest

from tidings import Event
from tidings.brokers import Arrival, Capabilities, DeadLetter, Difference, Inbox, Standing, Wanted
from tidings.brokers.log import LogBroker
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError
from tidings.log import open_log
from tidings.testing import broker_conformance as suite
from tidings.testing.broker_conformance import words

_names = itertools.count()
_members = itertools.count()


class Honest:
    """A carrier as it should be; each of those below is wrong in one way."""

    claims: ClassVar[dict[str, Any]] = {}

    def __init__(self, url: str) -> None:
        self.url = url
        self.broker = LogBroker(url)
        self.capabilities: Capabilities = msgspec.structs.replace(self.broker.capabilities, **self.claims)

    async def publish(self, events: Sequence[Event]) -> None:
        await self.broker.publish(events)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[Any]:
        async with self.broker.subscribe(patterns, group=group, start=start, prefetch=prefetch) as inbox:
            yield self.inbox(inbox)

    def inbox(self, inbox: Inbox) -> Any:
        return inbox

    async def groups(self) -> list[Standing]:
        return await self.broker.groups()

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        return await self.broker.letters(group)

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        await self.broker.resolve(letter, again=again)

    async def forget(self, group: str) -> None:
        await self.broker.forget(group)

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        return await self.broker.setup(wanted, apply=apply)

    async def close(self) -> None:
        await self.broker.close()


def _with(arrival: Arrival, **attributes: Any) -> Arrival:
    return msgspec.structs.replace(arrival, notice=msgspec.structs.replace(arrival.event, **attributes))


class Receiving:
    """An inbox that does something to what it hands over."""

    def __init__(self, inbox: Inbox, change: Callable[[list[Arrival]], list[Arrival]]) -> None:
        self.inbox = inbox
        self.change = change

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        return self.change(await self.inbox.receive(at_most))

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        await self.inbox.settle(arrivals)

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        await self.inbox.retry(arrival, seconds)

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        await self.inbox.reject(arrival, reason, detail)


class LosesHeaders(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish([msgspec.structs.replace(event, headers={}) for event in events])


class RenamesEvents(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish([msgspec.structs.replace(event, type=event.type.replace("/", ":")) for event in events])


class ReadsJson(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        def change(events: list[Arrival]) -> list[Arrival]:
            return [_with(each, data=_rewritten(each.event.data)) for each in events]

        return Receiving(inbox, change)


def _rewritten(data: Any) -> Any:
    return msgspec.Raw(msgspec.json.encode(msgspec.json.decode(data))) if isinstance(data, msgspec.Raw) else data


class LosesOneOfAHundred(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish([event for event in events if not event.id.endswith("99")])


class PublishesOneByOne(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            await super().publish([event])


class TakesAnyData(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish([event for event in events if type(event.data) is not object])


class NamesNoEvent(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        if any(type(event.data) is object for event in events):
            raise BrokerUnreachable(self.url, "it is about one of them")
        await super().publish(events)


class ClaimsALimit(Honest):
    claims: ClassVar = {"max_size": 10_000}


class HasALimit(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        if any(len(str(event.data)) > 100_000 for event in events):
            raise BrokerError("too large")
        await super().publish(events)


class HearsEverything(Honest):
    def subscribe(self, patterns: Sequence[str], **settings: Any) -> Any:
        return super().subscribe(["**"], **settings)


class ReturnsNothing(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Impatient(Receiving):
            async def receive(self, at_most: int = 500) -> list[Arrival]:
                return []

        return Impatient(inbox, list)


class HandsOverTooMuch(Honest):
    def subscribe(self, patterns: Sequence[str], **settings: Any) -> Any:
        return super().subscribe(patterns, **{**settings, "prefetch": 500})


class ForgetsWhatWasCancelled(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Slow(Receiving):
            async def receive(self, at_most: int = 500) -> list[Arrival]:
                events = await self.inbox.receive(at_most)
                for _ in range(9):
                    await asyncio.sleep(0)  # whoever is cancelled here has lost `events`
                return events

        return Slow(inbox, list)


class DeniesGroups(Honest):
    claims: ClassVar = {"groups": False}


class HasNoGroups(Honest):
    def subscribe(self, patterns: Sequence[str], *, group: str | None, **settings: Any) -> Any:
        return super().subscribe(patterns, group=f"{group}-{next(_members)}", **settings)


class SharesBetweenGroups(Honest):
    def subscribe(self, patterns: Sequence[str], *, group: str | None, **settings: Any) -> Any:
        return super().subscribe(patterns, group="everybody", **settings)


class HandsOverTwice(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        return Receiving(inbox, lambda events: [*events, *events[:1]])


class RepeatsForWhoJoins(Honest):
    had: ClassVar[list[Arrival]] = []

    def inbox(self, inbox: Inbox) -> Any:
        before = [*self.had]  # by others

        def with_before(arrivals: list[Arrival]) -> list[Arrival]:
            self.had.extend(arrivals)
            return [*before, *arrivals]

        return Receiving(inbox, with_before)


class SettlesOnReceipt(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Careless(Receiving):
            async def receive(self, at_most: int = 500) -> list[Arrival]:
                events = await self.inbox.receive(at_most)
                await self.inbox.settle()
                return events

        return Careless(inbox, list)


class NeverSettles(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Forgetful(Receiving):
            async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None: ...

        return Forgetful(inbox, list)


class DeniesReplay(Honest):
    claims: ClassVar = {"replay": False}


class HasNoReplay(Honest):
    def subscribe(self, patterns: Sequence[str], *, start: str = "earliest", **settings: Any) -> Any:
        return super().subscribe(patterns, start="latest", **settings)


class AlwaysReplays(Honest):
    def subscribe(self, patterns: Sequence[str], *, start: str = "earliest", **settings: Any) -> Any:
        return super().subscribe(patterns, start="earliest", **settings)


class Shuffles(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        return Receiving(inbox, lambda events: events[::-1])


class OrdersByKeyAlone(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        return Receiving(inbox, lambda events: sorted(events, key=lambda each: each.event.key or ""))


class ClaimsDurability(Honest):
    claims: ClassVar = {"durable": True}


class RaisesAtTheSecondClose(Honest):
    is_closed = False

    async def close(self) -> None:
        if self.is_closed:
            raise RuntimeError("closed")
        self.is_closed = True
        await super().close()


class RaisesSomethingForeign(RaisesAtTheSecondClose):
    async def publish(self, events: Sequence[Event]) -> None:
        if self.is_closed:
            raise OSError("connection lost")
        await super().publish(events)


class AddsAHeader(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish([msgspec.structs.replace(event, headers={"sent": 1}) for event in events])


class MakesTextOfBytes(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        return Receiving(inbox, lambda events: [_with(each, data=str(each.event.data)) for each in events])


class RefusesNothing(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        if not events:
            raise BrokerError("there is nothing to publish")
        await super().publish(events)


class RefusesRepeats(Honest):
    async def publish(self, events: Sequence[Event]) -> None:
        self.seen: set[str] = getattr(self, "seen", set())
        if self.seen & {event.id for event in events}:
            raise BrokerError("published already")
        self.seen |= {event.id for event in events}
        await super().publish(events)


class LosesWhatIsFetchedAhead(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Greedy(Receiving):
            async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
                await self.inbox.receive()
                await self.inbox.settle()

        return Greedy(inbox, list)


class SettlesOnce(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Strict(Receiving):
            owing = False

            async def receive(self, at_most: int = 500) -> list[Arrival]:
                self.owing = True
                return await self.inbox.receive(at_most)

            async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
                if not self.owing:
                    raise BrokerError("there is nothing to settle")
                self.owing = False
                await self.inbox.settle()

        return Strict(inbox, list)


class ClosesEverybody(Honest):
    closed: ClassVar[set[str]] = set()

    async def close(self) -> None:
        self.closed.add(self.url)
        await super().close()

    async def publish(self, events: Sequence[Event]) -> None:
        if self.url in self.closed:
            raise BrokerError("the connection was closed")
        await super().publish(events)


class SettlesAllUpToTheLast(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Cumulative(Receiving):
            async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
                await self.inbox.settle()

        return Cumulative(inbox, list)


class HandsOverAgainAtOnce(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Hasty(Receiving):
            async def retry(self, arrival: Arrival, seconds: float) -> None:
                await self.inbox.retry(arrival, 0.0)

        return Hasty(inbox, list)


class CountsHandOversAlone(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Forgetful(Receiving):
            async def retry(self, arrival: Arrival, seconds: float) -> None:
                arrival.attempt = 1
                await self.inbox.retry(arrival, seconds)

        return Forgetful(inbox, list)


class KeepsNoReason(Honest):
    def inbox(self, inbox: Inbox) -> Any:
        class Terse(Receiving):
            async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
                await self.inbox.reject(arrival, "rejected")

        return Terse(inbox, list)


class DropsWhatIsToBeHandedOverAgain(Honest):
    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        await super().resolve(letter, again=False)


class ForgetsNothing(Honest):
    async def forget(self, group: str) -> None:
        if [each for each in await self.groups() if each.group == group and each.members]:
            raise ConfigurationError(f"{group} is run")


class TellsNoLag(Honest):
    async def groups(self) -> list[Standing]:
        return [Standing(each.group, 0) for each in await super().groups()]


class SharesAmongListeners(Honest):
    def subscribe(self, patterns: Sequence[str], *, group: str | None, **settings: Any) -> Any:
        return super().subscribe(patterns, group=group or "listeners", **settings)


LIES: list[tuple[type[Honest], Callable[..., Any]]] = [
    (AddsAHeader, suite.test_what_is_left_out_stays_left_out),
    (MakesTextOfBytes, suite.test_bytes_of_any_kind_arrive_as_they_are),
    (RefusesNothing, suite.test_publishing_nothing_is_harmless),
    (RefusesRepeats, suite.test_what_is_published_again_is_the_same_event),
    (LosesWhatIsFetchedAhead, suite.test_members_that_come_and_go_lose_nothing),
    (SettlesOnce, suite.test_settling_again_or_with_nothing_received_is_harmless),
    (ClosesEverybody, suite.test_closing_one_connection_leaves_the_others_alone),
    (LosesHeaders, suite.test_an_event_arrives_as_it_was_published),
    (RenamesEvents, suite.test_names_that_differ_by_a_separator_alone_are_told_apart),
    (ReadsJson, suite.test_json_is_passed_through_digit_for_digit),
    (LosesOneOfAHundred, suite.test_every_event_of_a_publish_that_returned_arrives),
    (LosesOneOfAHundred, suite.test_many_publishers_at_a_time_lose_nothing),
    (LosesOneOfAHundred, suite.test_what_was_published_is_there_although_its_publisher_closed_at_once),
    (PublishesOneByOne, suite.test_one_event_that_cannot_be_written_takes_all_with_it_where_publishing_is_atomic),
    (PublishesOneByOne, suite.test_a_publish_cut_short_is_whole_or_absent_where_that_is_claimed_and_can_be_repeated),
    (TakesAnyData, suite.test_one_event_that_cannot_be_written_takes_all_with_it_where_publishing_is_atomic),
    (TakesAnyData, suite.test_of_many_calls_at_a_time_each_fails_by_itself_and_the_others_keep_their_order),
    (NamesNoEvent, suite.test_of_many_calls_at_a_time_each_fails_by_itself_and_the_others_keep_their_order),
    (Shuffles, suite.test_of_many_calls_at_a_time_each_fails_by_itself_and_the_others_keep_their_order),
    (ClaimsALimit, suite.test_an_event_as_large_as_is_claimed_arrives_and_no_larger_one_is_taken),
    (HasALimit, suite.test_an_event_as_large_as_is_claimed_arrives_and_no_larger_one_is_taken),
    (HearsEverything, suite.test_a_subscription_hears_what_its_patterns_select),
    (HearsEverything, suite.test_a_receiver_waits_for_what_comes),
    (ReturnsNothing, suite.test_what_was_settled_never_comes_again),
    (HandsOverTooMuch, suite.test_no_more_is_handed_over_than_was_asked_for),
    (ForgetsWhatWasCancelled, suite.test_a_receive_that_was_cancelled_loses_nothing),
    (DeniesGroups, suite.test_members_of_a_group_share_its_events_if_and_only_if_that_is_claimed),
    (HasNoGroups, suite.test_members_of_a_group_share_its_events_if_and_only_if_that_is_claimed),
    (HasNoGroups, suite.test_a_known_group_goes_on_where_it_was),
    (SharesBetweenGroups, suite.test_each_group_receives_each_event_once_when_nothing_fails),
    (SharesBetweenGroups, suite.test_a_group_that_does_not_get_on_holds_up_no_other),
    (HandsOverTwice, suite.test_each_group_receives_each_event_once_when_nothing_fails),
    (HandsOverTwice, suite.test_an_open_inbox_hands_nothing_over_twice),
    (SettlesOnReceipt, suite.test_what_was_not_settled_comes_again_when_its_member_left),
    (SettlesOnReceipt, suite.test_what_was_not_settled_goes_to_others_when_its_member_died),
    (NeverSettles, suite.test_what_was_settled_never_comes_again),
    (RepeatsForWhoJoins, suite.test_what_is_settled_does_not_come_again_to_a_member_that_joins),
    (SettlesAllUpToTheLast, suite.test_what_is_settled_out_of_order_costs_nothing_that_is_not),
    (HandsOverTooMuch, suite.test_no_more_is_unsettled_than_was_agreed),
    (HandsOverAgainAtOnce, suite.test_an_event_can_be_had_again_later),
    (CountsHandOversAlone, suite.test_an_event_can_be_had_again_later),
    (TellsNoLag, suite.test_what_a_group_is_to_have_again_later_is_part_of_its_lag),
    (KeepsNoReason, suite.test_what_is_given_up_is_kept_with_the_reason),
    (DropsWhatIsToBeHandedOverAgain, suite.test_a_dead_letter_is_handed_to_its_group_again_or_dropped),
    (ForgetsNothing, suite.test_a_group_is_forgotten_and_begins_anew_but_not_while_it_is_run),
    (TellsNoLag, suite.test_how_much_a_group_has_still_to_receive_is_told),
    (SharesAmongListeners, suite.test_without_a_group_everybody_hears_what_comes_from_now_on),
    (DeniesReplay, suite.test_a_new_group_hears_of_the_past_if_and_only_if_that_is_claimed),
    (HasNoReplay, suite.test_a_new_group_hears_of_the_past_if_and_only_if_that_is_claimed),
    (AlwaysReplays, suite.test_a_new_group_may_begin_with_what_comes),
    (Shuffles, suite.test_events_arrive_in_the_order_that_is_claimed),
    (Shuffles, suite.test_what_comes_again_comes_in_the_order_that_is_claimed),
    (OrdersByKeyAlone, suite.test_events_arrive_in_the_order_that_is_claimed),
    (ClaimsDurability, suite.test_what_was_published_outlives_a_restart_if_and_only_if_that_is_claimed),
    (RaisesAtTheSecondClose, suite.test_closing_twice_is_harmless),
    (RaisesSomethingForeign, suite.test_a_closed_broker_says_so_or_connects_again),
]


async def _nothing() -> None: ...


async def run(kind: type[Honest], promise: Callable[..., Any]) -> None:
    """One test of the suite, with brokers of this kind on a log in memory."""
    url, connections = f"memory:liar-{next(_names)}", list[Honest]()

    async def connect() -> Honest:
        connections.append(kind(url))
        return connections[-1]

    offered = {"connect": connect, "capabilities": kind(url).capabilities, "restart": _nothing}
    try:
        await promise(**{name: offered[name] for name in inspect.signature(promise).parameters})
    finally:
        for broker in connections:
            await broker.broker.close()


@pytest.mark.parametrize(("kind", "promise"), LIES, ids=[f"{kind.__name__}-{each.__name__}" for kind, each in LIES])
async def test_a_liar_is_found_out(
    kind: type[Honest], promise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(Honest, promise)
    monkeypatch.setattr(words, "LIMIT", 0.3)

    with pytest.raises((AssertionError, BrokerError, RuntimeError, OSError)):
        await run(kind, promise)


async def test_who_keeps_what_it_does_not_claim_to_keep_is_found_out() -> None:
    promise = suite.test_what_was_published_outlives_a_restart_if_and_only_if_that_is_claimed
    keeper = await open_log(f"memory:liar-{next(_names)}")

    async def connect() -> Honest:
        return Honest(keeper.url)  # in memory, which is not lost as long as the keeper has it open

    with pytest.raises(AssertionError, match="durable=False is claimed"):
        await promise(connect=connect, capabilities=Honest(keeper.url).capabilities, restart=_nothing)
    await keeper.close()


def test_every_promise_is_broken_by_somebody() -> None:
    assert set(suite.__all__) == {promise.__name__ for _, promise in LIES}
