"""`Settling`: a reader's lease and cursor, and the commits of its batch's answers under them."""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from tidings.clock import Clock
from tidings.handling.batch import Batch
from tidings.handling.delivery import Item
from tidings.handling.report import Metrics, MetricsHook
from tidings.handling.transactional import Unsettled
from tidings.log import Draft, Lease, Log, Record, Settlement, Where
from tidings.log.position import order_in

SETTLE_AFTER = 0.05  # seconds that bare progress may wait for company while a backlog is worked off


class Settling:
    """What one reader owns of its group, and how far it has come."""

    def __init__(self, group: str, log: Log, batch: Batch, clock: Clock, metrics: MetricsHook | None) -> None:
        self.lease: Lease | None = None
        self.cursor = 0  # the order up to which it has read
        self.moving = True  # False while parked events are gone through, which the cursor has passed long ago
        self.handled = 0
        self._group = group
        self._log = log
        self._batch = batch
        self._clock = clock
        self._metrics = metrics
        self._settled = 0  # the cursor as last committed
        self._settled_at = 0.0
        self._tried = 0
        self._started_at: float | None = None

    def begin(self, lease: Lease) -> None:
        """Go on under this lease, from its lowest lane."""
        self.lease = lease
        self.cursor = self._settled = min(lease.lanes.values(), default=0)

    def lose(self) -> None:
        """The lease is gone: what was not settled is another's to answer, or comes again."""
        self._batch.forget()
        self.lease = None

    def position(self, order: int) -> str:
        """The position of an order."""
        return self.held.epoch.position(order)

    @property
    def held(self) -> Lease:
        """The lease, which a reader has whenever it asks here."""
        assert self.lease is not None
        return self.lease

    def handling(self, count: int) -> None:
        """So many events are in hand now."""
        self._tried += count
        if self._started_at is None:
            self._started_at = self._clock.monotonic()

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
        events: Sequence[Draft] = (),
        cleared: Sequence[int] = (),
    ) -> None:
        """Commit the answers to what came up to an order; None: all there are, and the cursor.

        Raises:
            Unsettled: it could not be committed.
        """
        if self.lease is None:
            return
        moves = self.moving and (self.cursor if upto is None else upto) > self._settled
        if not (moves or writes or events or cleared or not self._batch.is_empty):
            return
        settlement = Settlement(self.lease, writes=list(writes))
        effects, settlement.parked, done = self._batch.take(upto if self.moving else None)
        settlement.events, settlement.cleared = [*effects, *events], [*done, *cleared]
        if moves:
            settlement.upto = self.position(self.cursor if upto is None else upto)
        await self.commit(settlement)

    async def commit(self, settlement: Settlement) -> None:
        """Commit a settlement.

        Raises:
            Unsettled: it could not be committed.
        """
        try:
            await self._log.ledger.settle(settlement)
        except Exception as error:
            raise Unsettled(error) from error
        if settlement.upto is not None:
            self._settled = order_in(settlement.upto)
        self._settled_at = self._clock.monotonic()
        self._measure(settlement)

    async def complete(self, items: list[Item]) -> None:
        """Make lean records whole: read them again, with all their columns."""
        lean = {item.record.order: item for item in items if item.record.envelope is None}
        if not lean:
            return
        after, last = min(lean) - 1, max(lean)
        while after < last:
            found = await self._log.scan(self.position(after), Where(), 1000)
            for record in found.records:
                if record.order in lean:
                    _fill(lean[record.order].record, record)
            after = found.records[-1].order if found.records else last
        self.place(items)

    def place(self, items: list[Item]) -> None:
        """Give items their positions."""
        for item in items:
            item.position = self.position(item.record.order)

    def _measure(self, settlement: Settlement) -> None:
        tried, self._tried = self._tried, 0
        started, self._started_at = self._started_at, None
        self.handled += tried
        if self._metrics is None or started is None:
            return
        dead = sum(parked.state == "dead" for parked in settlement.parked)
        parked = len(settlement.parked) - dead
        seconds = self._clock.monotonic() - started
        with contextlib.suppress(Exception):  # a broken gauge must not stop the work
            self._metrics(Metrics(self._group, tried, parked, dead, len(settlement.events), seconds))


def _fill(lean: Record, whole: Record) -> None:
    for name in msgspec.structs.fields(Record)[5:]:
        setattr(lean, name.name, getattr(whole, name.name))


