"""`Settling`: a reader's lease and cursor, and the commits of its batch's answers under them."""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from tidings.clock import Clock
from tidings.errors import Fenced
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.outgoing import Effect, divided
from tidings.handling.report import Metrics, MetricsHook
from tidings.log import Lease, Log, Record, Settlement, Where
from tidings.log.position import order_in

SETTLE_AFTER = 0.05  # seconds that bare progress may wait for company while a backlog is worked off
_LEAN = 5  # so many fields of a Record are read always, the others only when they are needed


class Unsettled(BaseException):
    """A settlement failed, which is not the handler's failure: `error` says why."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(error)


class Settling:
    """What one reader owns of its group, and how far it has come."""

    def __init__(
        self,
        group: str,
        log: Log,
        batch: Answers,
        clock: Clock,
        metrics: MetricsHook | None,
        patterns: tuple[str, ...] = (),
    ) -> None:
        self.lease: Lease | None = None
        self.cursor = 0  # the order up to which it has read
        self.moving = True  # False while parked events are gone through, which the cursor has passed long ago
        self.handled = 0  # events with an answer, in all
        self.busy = 0.0  # seconds from calls to settlements, in all
        self._group = group
        self._log = log
        self._batch = batch
        self._clock = clock
        self._metrics = metrics
        self._patterns = patterns
        self._settled = 0  # the cursor as last committed
        self._settled_at = 0.0
        self._gauge = _Gauge()

    def begin(self, lease: Lease) -> None:
        """Go on under this lease, from its lowest lane."""
        self.lease = lease
        self.cursor = self._settled = min(lease.lanes.values(), default=0)

    def lose(self) -> None:
        """The lease is gone: what was not settled is another's to answer, or comes again."""
        self._batch.forget()
        self._gauge = _Gauge()
        self.lease = None

    @property
    def settled(self) -> int:
        """The order up to which all is answered and committed."""
        return self._settled

    def position(self, order: int) -> str:
        """The position of an order."""
        return self.held.epoch.position(order)

    @property
    def held(self) -> Lease:
        """The lease, which a reader has whenever it asks here."""
        assert self.lease is not None
        return self.lease

    def starts(self) -> None:
        """Handlers are called from now on."""
        if self._gauge.started is None:
            self._gauge.started = self._clock.monotonic()

    def answered(self, count: int) -> None:
        """So many events have their answers."""
        self._gauge.handled += count
        self.handled += count

    def passed_over(self, count: int) -> None:
        """So many events need no answer, as others stand for them."""
        self.starts()
        self._gauge.passed_over += count

    async def settle_if_due(self, *, at_head: bool) -> None:
        """Commit, unless there is nothing but progress and more of it to come soon."""
        late = self._clock.monotonic() - self._settled_at > SETTLE_AFTER
        if at_head or late or not self._batch.is_empty:
            await self.settle(None)

    async def settle(
        self,
        upto: int | None,
        *,
        writes: Sequence[Any] = (),
        events: Sequence[Effect] = (),
        cleared: Sequence[int] = (),
    ) -> None:
        """Commit the answers to what came up to an order; None: all there are, and the cursor.

        Raises:
            Unsettled: it could not be committed.
        """
        if self.lease is None:
            return
        order = self.cursor if upto is None else upto
        moves = self.moving and order > self._settled
        if moves or writes or events or cleared or not self._batch.is_empty:
            settlement = Settlement(self.lease, writes=list(writes))
            effects, settlement.parked, done = self._batch.take(upto if self.moving else None)
            settlement.outcomes = self._batch.take_outcomes(upto if self.moving else None)
            settlement.events, settlement.timers = divided([*effects, *events])
            settlement.cleared = [*done, *cleared]
            settlement.upto = self.position(order) if moves else None
            await self.commit(settlement)
        self._measure()

    async def commit(self, settlement: Settlement) -> None:
        """Commit a settlement.

        Raises:
            Unsettled: it could not be committed.
        """
        settlement.patterns = self._patterns
        try:
            await self._log.ledger.settle(settlement)
        except Exception as error:
            raise Unsettled(error) from error
        if settlement.upto is not None:
            self._settled = order_in(settlement.upto)
        self._settled_at = self._clock.monotonic()
        self._gauge.count(settlement)

    async def complete(self, items: list[Item]) -> None:
        """Make lean records whole: read them again, with all their columns.

        Raises:
            Unsettled: some were trimmed meanwhile, which happens only when another member has settled them.
        """
        lean = {item.record.order: item for item in items if item.record.envelope is None}
        if not lean:
            return
        after, last, epoch = min(lean) - 1, max(lean), items[0].epoch  # the lease may be lost by now
        while after < last:
            found = await self._log.scan(epoch.position(after), Where(passing=self._batch.passing), 1000)
            for record in found.records:
                if record.order in lean:
                    _fill(lean[record.order].record, record)
            after = found.records[-1].order if found.records else last
        if any(item.record.envelope is None for item in lean.values()):
            raise Unsettled(Fenced(self._group, self.lease.member if self.lease else "this process"))

    def _measure(self) -> None:
        """Once a batch, tell what was done."""
        gauge = self._gauge
        if not (gauge.handled or gauge.passed_over) or gauge.started is None:
            return
        self._gauge = _Gauge()
        seconds = self._clock.monotonic() - gauge.started
        self.busy += seconds
        if self._metrics is not None:
            with contextlib.suppress(Exception):  # a broken hook must not stop the work
                self._metrics(gauge.metrics(self._group, seconds))


class _Gauge:
    """What was done since it was last told."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.handled = self.parked = self.dead = self.published = self.passed_over = 0

    def count(self, settlement: Settlement) -> None:
        dead = sum(parked.state == "dead" for parked in settlement.parked)
        self.dead += dead
        self.parked += len(settlement.parked) - dead
        self.published += len(settlement.events)

    def metrics(self, group: str, seconds: float) -> Metrics:
        return Metrics(group, self.handled, self.parked, self.dead, self.published, seconds, self.passed_over)


def _fill(lean: Record, whole: Record) -> None:
    for field in msgspec.structs.fields(Record)[_LEAN:]:
        setattr(lean, field.name, getattr(whole, field.name))
