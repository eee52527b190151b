"""The answers to a batch, gathered until they are settled together."""

import logging
import traceback
from typing import Any, NamedTuple

from tidings.clock import Clock
from tidings.errors import HandlerTimeout, Reject
from tidings.handling.delivery import Item
from tidings.handling.outgoing import Outgoing
from tidings.handling.report import say
from tidings.handling.subscription import Subscription
from tidings.log import Draft, Parked
from tidings.log.record import delivery_key, envelope_of

_LONGEST_DETAIL = 16_000


class Mark(NamedTuple):
    """What a batch knew of keys at some moment."""

    held: dict[str, int]
    stuck: set[str]
    blocked: int
    next_due: float | None


class Batch:
    """What became of each item: nothing to note for most, effects for some, set aside for a few.

    `held` counts the parked events of each key: whoever comes later waits behind them.
    """

    def __init__(self, subscription: Subscription, outgoing: Outgoing, clock: Clock) -> None:
        self._subscription = subscription
        self._policy = subscription.policy
        self._outgoing = outgoing
        self._clock = clock
        self.held: dict[str, int] = {}
        self.blocked = 0
        self.next_due: float | None = None
        self._stuck: set[str] = set()  # keys whose head failed again while the parked events are gone through
        self.hung: set[str] = set()  # keys whose handler has not returned from a call that timed out
        self.effects: list[tuple[int, list[Draft]]] = []
        self.parked: list[Parked] = []
        self.cleared: list[int] = []

    @property
    def is_empty(self) -> bool:
        """Is there nothing to commit but the cursor?"""
        return not (self.effects or self.parked or self.cleared)

    def begin_parked(self) -> None:
        """The parked events that are due are gone through now."""
        self._stuck.clear()
        self.next_due = None

    def must_wait(self, item: Item) -> bool:
        """Does an earlier event of its key stand in the way? Then that is its answer, and it is noted.

        Ask only when something is held; it costs reading the envelope.
        """
        key = self.key(item)
        if item.parked:
            return key is not None and (key in self._stuck or key in self.hung)
        if key is None or key not in self.held:
            return False
        self._set_aside(item, key, "blocked", 0, reason="waits behind an earlier event of its key")
        self.blocked += 1
        return True

    def done(self, item: Item, result: Any) -> None:
        """Handled; `result` is what the handler returned. Call it when there is a result or the item was parked."""
        if result is not None:
            self.effects.append((item.record.order, self.effects_of(item, result)))
        if item.parked:
            self._let_go(item)

    def effects_of(self, item: Item, result: Any) -> list[Draft]:
        """What a handler returned, as events to be recorded with its answer."""
        return self._outgoing.effects(result, item, self._subscription.name)

    def failed(self, item: Item, error: BaseException, attempts: int) -> None:
        """Not handled, after `attempts` calls in all: parked to be tried again, or dead."""
        key = self.key(item)
        wait = self._policy.verdict(error, attempts)
        due = 0.0 if wait is None else self._clock.now() + wait
        blocks = key is not None and not isinstance(error, Reject) and (wait is not None or self._blocks_dead)
        reason = f"{type(error).__name__}: {error}"
        if item.parked:
            self._let_go(item, keep=True)
            if key is not None and blocks:
                self._stuck.add(key)
        self._set_aside(
            item,
            key,
            "dead" if wait is None else "retry",
            attempts,
            due=due,
            reason=reason,
            detail=_detail(error),
            blocks=blocks,
        )
        if isinstance(error, HandlerTimeout) and key is not None:
            self._stuck.add(key)
        if wait is not None:
            self.next_due = due if self.next_due is None else min(self.next_due, due)
        self._say(item, reason, attempts, wait)

    def take(self, upto: int | None) -> tuple[list[Draft], list[Parked], list[int]]:
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
        return [draft for _, drafts in effects for draft in drafts], parked, cleared

    def forget(self) -> None:
        """Drop the answers: they are another owner's to give, or are given anew."""
        self.effects, self.parked, self.cleared = [], [], []

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
        """The key whose order matters to this item."""
        return delivery_key(item.record, item.position)

    @property
    def _blocks_dead(self) -> bool:
        return self._policy.on_dead == "block"

    def _set_aside(
        self,
        item: Item,
        key: str | None,
        state: Any,
        attempts: int,
        *,
        due: float = 0.0,
        reason: str,
        detail: str = "",
        blocks: bool = True,
    ) -> None:
        record = item.record
        event_id = envelope_of(record, item.position).id
        if key is not None and blocks:
            self.held[key] = self.held.get(key, 0) + 1
        self.parked.append(
            Parked(
                record.order,
                record.slot,
                key,
                event_id,
                record.type,
                state,
                attempts,
                due,
                reason[:2000],
                detail,
                blocks=blocks,
            )
        )

    def _let_go(self, item: Item, *, keep: bool = False) -> None:
        key = self.key(item)
        if key is not None and key in self.held:
            self.held[key] -= 1
            if not self.held[key]:
                del self.held[key]
        if not keep:
            self.cleared.append(item.record.order)

    def _say(self, item: Item, reason: str, attempts: int, wait: float | None) -> None:
        facts = {"group": self._subscription.name, "event": envelope_of(item.record, item.position).id}
        facts |= {"type": item.record.type, "position": item.position, "attempts": str(attempts), "reason": reason}
        if wait is None:
            say(logging.ERROR, "dead", **facts)
        else:
            say(logging.WARNING, "park", **facts, seconds=f"{wait:.3f}")




def _detail(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    return text[-_LONGEST_DETAIL:]
