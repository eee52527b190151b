"""A debounce kept: of each key the last event waits, parked, until there is quiet."""

import msgspec

from tidings.clock import Clock
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.flow.settings import Debounce
from tidings.log import Parked

REASON = "debounce"  # of the parked event that waits


class _Pending(msgspec.Struct):
    """The event of a key that waits: where it is recorded, and when the first was handled that it stands for."""

    order: int
    since: float


class Quiet:
    """The events of one reader's lanes that wait for quiet.

    What is known here is in the ledger too, so a new owner of a lane begins with `recall`.
    """

    def __init__(self, debounce: Debounce, batch: Answers, clock: Clock) -> None:
        self._debounce = debounce
        self._batch = batch
        self._clock = clock
        self._pending: dict[str, _Pending] = {}

    def recall(self, deferred: list[Parked]) -> None:
        """Know again which events wait, as the ledger has it."""
        self._pending = {
            one.key: _Pending(one.order, float(one.detail))
            for one in deferred
            if one.key is not None and one.reason == REASON
        }

    def put_off(self, items: list[Item]) -> int:
        """Park the last of these events of each key in place of the one that waited; says how many were replaced.

        What must wait behind a failed event of its key waits there.
        """
        last: dict[str, Item] = {}
        passed_over = 0
        for item in items:
            if self._batch.must_wait(item):
                continue
            key = self._batch.key(item)
            if key is None:
                self._wait(None, item)
                continue
            if key in last:
                passed_over += 1
                self._batch.pass_over(last[key].record.order, item.record.slot, REASON)
            last[key] = item
        return passed_over + sum([self._wait(key, item) for key, item in last.items()])

    def latest(self, due: list[Item]) -> tuple[list[Item], int]:
        """Of the parked events whose turn it is the last of each key, and how many it replaces.

        Several there are where an event had failed and others came behind it.
        """
        last: dict[str, Item] = {}
        alone = []
        for item in due:
            key = self._batch.key(item)
            if key is None:
                alone.append(item)
                continue
            if key in last:
                self._batch.superseded(last[key], REASON)
            last[key] = item
            self._pending.pop(key, None)
        chosen = sorted([*alone, *last.values()], key=lambda item: item.record.order)
        return chosen, len(due) - len(chosen)

    def _wait(self, key: str | None, item: Item) -> bool:
        now, before = self._clock.now(), None if key is None else self._pending.get(key)
        since = now if before is None else before.since
        due = now + self._debounce.quiet
        if self._debounce.longest is not None:
            due = min(due, since + self._debounce.longest)
        if before is not None:
            self._batch.replaced(before.order, item.record.slot, REASON)
        self._batch.put_off(item, due=due, reason=REASON, detail=repr(since))
        if key is not None:
            self._pending[key] = _Pending(item.record.order, since)
        return before is not None
