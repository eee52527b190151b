"""The answers to a batch, gathered until they are settled together."""

import logging
import traceback
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from tidings.clock import Clock
from tidings.errors import CircuitOpen, Reject
from tidings.handling.delivery import Item
from tidings.handling.flow.controls import Controls
from tidings.handling.outgoing import Effect, Outgoing
from tidings.handling.report import say
from tidings.handling.subscription import Subscription
from tidings.log import Outcome, Parked
from tidings.log.record import delivery_key, envelope_of

_LONGEST_REASON = 2_000
_LONGEST_DETAIL = 16_000


class Mark(NamedTuple):
    """What a batch knew of keys at some moment."""

    held: dict[str, int]
    stuck: set[str]
    blocked: int
    next_due: float | None


class Answers:
    """What became of each item of a batch: nothing to note for most, effects for some, set aside for a few.

    `held` counts the parked events of each key: whoever comes later waits behind them.
    """

    def __init__(
        self, subscription: Subscription, outgoing: Outgoing, clock: Clock, controls: Controls | None = None
    ) -> None:
        self._group = subscription.name
        self._policy = subscription.policy
        self._inline = subscription.form.is_async or not subscription.form.uses_tx  # does it repeat on the spot?
        self._outgoing = outgoing
        self._clock = clock
        self._controls = controls
        self.held: dict[str, int] = {}
        self.hung: set[str] = set()  # keys whose handler has not returned from a call that timed out
        self.blocked = 0
        self.passing: frozenset[int] = frozenset()  # orders ahead that an operator has set aside
        self.refusals = 0  # events set aside so far, for whatever reason
        self.next_due: float | None = None
        self._stuck: set[str] = set()  # keys whose head failed again while the parked events are gone through
        self.effects: list[tuple[int, Sequence[Effect]]] = []
        self.parked: list[Parked] = []
        self.cleared: list[int] = []
        self.outcomes: list[Outcome] = []  # of what was handled, but not at its first call
        self._failures: dict[int, str] = {}  # order -> why it was called again on the spot
        self._noted = 0  # the order of the last outcome

    @property
    def is_empty(self) -> bool:
        """Is there nothing to commit but the cursor?"""
        return not (self.effects or self.parked or self.cleared)

    @property
    def is_holding(self) -> bool:
        """Does any key wait? Then the answer to one event decides what is done with the next."""
        return bool(self.held or self.hung)

    def begin_parked(self) -> None:
        """The parked events that are due are gone through now."""
        self._stuck.clear()
        self.next_due = None

    def must_wait(self, item: Item) -> bool:
        """Does an earlier event of its key stand in the way? Then that is its answer, and it is noted."""
        key = self.key(item) if self.is_holding else None
        if key is None:
            return False
        if item.parked:
            return key in self._stuck or key in self.hung
        if key not in self.held and key not in self.hung:
            return False
        self._set_aside(item, key, "blocked", reason="waits behind an earlier event of its key")
        self.blocked += 1
        return True

    def may_call(self, item: Item) -> bool:
        """Is the handler to be called with it? If not, it has its answer."""
        if self.must_wait(item):
            return False
        if item.failure is not None:
            self.unreadable(item)
            return False
        return True

    def release(self, key: str) -> None:
        """The handler that hung with this key has returned: what waits for it is looked at now."""
        self.hung.discard(key)
        self.next_due = 0.0

    def effects_of(self, item: Item, result: Any) -> list[Effect]:
        """What a handler returned, as events to be recorded with its answer.

        Raises:
            ConfigurationError, ContractError, InvalidEvent: it returned what cannot be recorded.
        """
        return [] if result is None else self._outgoing.effects(result, item, self._group)

    def effects_of_many(self, items: list[Item], result: Any) -> list[Effect]:
        """The same for a call with several events.

        Raises:
            ConfigurationError, ContractError, InvalidEvent: it returned what cannot be recorded.
        """
        return [] if result is None else self._outgoing.effects_of_many(result, items, self._group)

    def done(self, item: Item, effects: Sequence[Effect] = (), attempts: int = 1) -> None:
        """Handled, after so many calls in all. Call it when there are effects, or were troubles."""
        if effects:
            self.effects.append((item.record.order, effects))
        if item.parked or attempts > 1:
            self.note(item, max(attempts, item.attempts + 1))
        if item.parked:
            self._let_go(item)
            self.cleared.append(item.record.order)

    def superseded(self, item: Item, reason: str) -> None:
        """A parked event is left out, as a later one stands for it."""
        self._let_go(item)
        self.replaced(item.record.order, item.record.slot, reason)

    def returned(self, item: Item, result: Any, attempts: int) -> None:
        """The handler returned `result` at its call number `attempts`; what is no event is its failure."""
        try:
            effects = self.effects_of(item, result)
        except Exception as error:
            self.failed(item, error, attempts)
        else:
            self.done(item, effects, attempts)

    def note(self, item: Item, attempts: int) -> None:
        """Have the lineage say that it was handled after so many calls; once, if called again with its answer."""
        order = item.record.order
        if order != self._noted:
            self._noted = order
            reason = self._failures.pop(order, "")
            self.outcomes.append(Outcome(order, item.record.slot, "handled", attempts, reason))

    def failed(self, item: Item, error: BaseException, attempts: int) -> None:
        """Not handled, after `attempts` calls in all: parked to be tried again, or dead."""
        self.noted(error)
        if isinstance(error, CircuitOpen):  # it did not fail, it was not let try: that burns no attempt
            self._give_up(item, error, attempts - 1, max(error.until - self._clock.now(), 0.0))
            return
        self._give_up(item, error, attempts, self._policy.verdict(error, attempts, inline=self._inline))

    def again(self, item: Item, error: BaseException, attempts: int) -> float | None:
        """Its call number `attempts` failed: the seconds until it is tried again on the spot, None if it is not.

        Callable from a handler's thread.
        """
        wait = None if isinstance(error, CircuitOpen) else self._policy.inline_wait(error, attempts)
        if wait is None:
            return None
        self.noted(error)
        if self._controls is not None and not self._controls.allows_repeat():
            return None
        said = _said(error)
        self._failures[item.record.order], self._noted = _writable(said)[:_LONGEST_REASON], 0
        self._say(logging.INFO, "retry", item, said, attempts, seconds=wait)
        return wait

    def noted(self, error: BaseException) -> None:
        """A call has failed that is no event's failure alone."""
        if self._controls is not None:
            self._controls.failed(self, error)

    def charge(self) -> None:
        """A call is made that no limit was asked for: it counts, and those that follow wait for it."""
        if self._controls is not None and self._controls.meter is not None:
            self._controls.meter.charge(1)

    @property
    def is_shut(self) -> bool:
        """Has the group's circuit opened, so that no further event is to be handled?"""
        return self._controls is not None and self._controls.is_shut

    def put_off(self, item: Item, *, due: float, reason: str, detail: str) -> None:
        """It is handled at `due`, and holds nobody up until then."""
        key = self.key(item)
        self._set_aside(item, key, "retry", due=due, reason=reason, detail=detail, blocks=False)
        self.next_due = due if self.next_due is None else min(self.next_due, due)

    def replaced(self, order: int, slot: int, reason: str) -> None:
        """A parked event of this order is not to be handled any more, as a later one stands for it."""
        self.pass_over(order, slot, reason)
        self.cleared.append(order)

    def pass_over(self, order: int, slot: int, reason: str) -> None:
        """Have the lineage say that an event was left out on purpose."""
        self.outcomes.append(Outcome(order, slot, "passed", 0, reason))

    def unreadable(self, item: Item) -> None:
        """Its data could not be decoded: no rule of the handler's covers that, as it was never called."""
        assert item.failure is not None
        attempts = item.attempts + 1
        self._give_up(item, item.failure, attempts, self._policy.until_readable(item.failure, attempts))

    def gone(self, parked: Sequence[Parked]) -> None:
        """Their events were trimmed from the log before they could be tried again, as those of an orphan may be."""
        reason = "trimmed from the log before it could be tried again"
        for one in parked:
            self.parked.append(msgspec.structs.replace(one, state="dead", reason=reason, blocks=False))
            say(logging.ERROR, "dead", group=self._group, event=one.event_id, type=one.type, reason=reason)

    def take(self, upto: int | None) -> tuple[list[Effect], list[Parked], list[int]]:
        """The answers to what came up to the order `upto` (None: all of them), which are settled now."""
        if upto is None:
            effects, self.effects = self.effects, []
            parked, self.parked = self.parked, []
        else:
            effects = [each for each in self.effects if each[0] <= upto]
            parked = [each for each in self.parked if each.order <= upto]
            self.effects = [each for each in self.effects if each[0] > upto]
            self.parked = [each for each in self.parked if each.order > upto]
        cleared, self.cleared = self.cleared, []
        return [effect for _, each in effects for effect in each], parked, cleared

    def take_outcomes(self, upto: int | None) -> list[Outcome]:
        """What the lineage is to say, along with the answers up to the same order."""
        taken = [each for each in self.outcomes if upto is None or each.order <= upto]
        self.outcomes = [each for each in self.outcomes if upto is not None and each.order > upto]
        return taken

    def forget(self) -> None:
        """Drop the answers: they are another owner's to give, or are given anew."""
        self.effects, self.parked, self.cleared = [], [], []
        self.outcomes, self._noted = [], 0
        self._failures.clear()

    def mark(self) -> Mark:
        """What is known of keys now, to come `back` to when the calls that follow are undone."""
        return Mark(dict(self.held), set(self._stuck), self.blocked, self.next_due)

    def back(self, mark: Mark) -> None:
        """Forget the answers since the mark."""
        self.forget()
        self.held.clear()
        self.held.update(mark.held)
        self._stuck = set(mark.stuck)
        self.blocked, self.next_due = mark.blocked, mark.next_due

    def key(self, item: Item) -> str | None:
        """The key whose order matters to this item; costs reading the envelope."""
        return delivery_key(item.record, item.position)

    def _give_up(self, item: Item, error: BaseException, attempts: int, wait: float | None) -> None:
        """Park it for `wait` seconds, or for good. A question is answered with the failure: nobody waits that long."""
        refusal = self._outgoing.failure(error, item, self._group)
        if refusal is not None:
            self.done(item, refusal, attempts)
            return
        key = self.key(item)
        blocks = not isinstance(error, Reject) and (wait is not None or self._policy.on_dead == "block")
        if item.parked:
            self._let_go(item)
            if key is not None and blocks:
                self._stuck.add(key)
        due = 0.0 if wait is None else self._clock.now() + wait
        state: Literal["retry", "dead"] = "dead" if wait is None else "retry"
        reason, detail = _said(error), "".join(traceback.format_exception(error))
        self._set_aside(item, key, state, attempts, due=due, reason=reason, detail=detail, blocks=blocks)
        if wait is not None:
            self.next_due = due if self.next_due is None else min(self.next_due, due)
            self._say(logging.WARNING, "park", item, reason, attempts, seconds=round(wait, 3))
        else:
            self._say(logging.ERROR, "dead", item, reason, attempts)

    def _set_aside(
        self,
        item: Item,
        key: str | None,
        state: Literal["retry", "blocked", "dead"],
        attempts: int = 0,
        *,
        due: float = 0.0,
        reason: str,
        detail: str = "",
        blocks: bool = True,
    ) -> None:
        record = item.record
        self.refusals += 1
        self._failures.pop(record.order, None)
        self._noted = 0
        if key is not None and blocks:
            self.held[key] = self.held.get(key, 0) + 1
        self.parked.append(
            Parked(
                record.order,
                record.slot,
                key,
                envelope_of(record, item.position).id,
                record.type,
                state,
                attempts,
                due,
                _writable(reason)[:_LONGEST_REASON],
                _writable(detail)[-_LONGEST_DETAIL:],
                blocks=blocks,
            )
        )

    def _let_go(self, item: Item) -> None:
        """It is parked no more, or parked anew."""
        key = self.key(item)
        if key is not None and key in self.held:
            self.held[key] -= 1
            if not self.held[key]:
                del self.held[key]

    def _say(self, level: int, what: str, item: Item, reason: str, attempts: int, **more: object) -> None:
        record, event_id = item.record, envelope_of(item.record, item.position).id
        facts = {"type": record.type, "position": item.position, "attempts": attempts, "reason": reason}
        say(level, what, group=self._group, event=event_id, **facts, **more)


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as mistake:  # its __str__ is a user's code, too
        return f"{type(error).__name__}, which cannot be shown: {type(mistake).__name__}"


def _writable(text: str) -> str:
    """As text a database takes: halves of surrogate pairs, as in an undecodable file's name, are not."""
    return text.encode("utf-8", "backslashreplace").decode()
