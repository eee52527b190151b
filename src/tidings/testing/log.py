"""A log and its ledger with the test in between: it sees what is recorded and settled, and may have it fail."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from tidings.errors import CommitUnknown, Fenced
from tidings.events import Event
from tidings.log import ANY, Appended, Expect, Log, Settlement
from tidings.log.position import order_in
from tidings.log.record import Draft, drafted
from tidings.testing.activity import Activity
from tidings.testing.calls import Call, Calls
from tidings.testing.faults import Faults, InjectedFault
from tidings.testing.recorded import Recorded

HERE = "log"


class WatchedLog:
    """A log that tells what it does."""

    def __init__(self, log: Log, calls: Calls, history: Recorded, activity: Activity, faults: Faults) -> None:
        self.bell = log.bell
        self.ledger = WatchedLedger(log.ledger, calls, history, activity, faults)
        self._log = log
        self._history = history
        self._activity = activity
        self._faults = faults

    def __getattr__(self, name: str) -> Any:  # whatever else a log can do, it does by itself
        return getattr(self._log, name)

    async def append(
        self,
        events: Sequence[Event],
        *,
        stream: str | None = None,
        expect: Expect = ANY,
        tx: Any = None,
        public: bool | None = None,
    ) -> Appended:
        """Record `events`; see `Log.append`."""
        if tx is not None:
            return await self._log.append(events, stream=stream, expect=expect, tx=tx, public=public)
        with self._activity.commit("what was published"):
            async with self._committing(lambda: events):
                return await self._log.append(events, stream=stream, expect=expect, public=public)

    async def absorb(self, events: Sequence[Event | Draft], *, public: bool = False) -> int:
        """Record those not yet recorded."""
        with self._activity.commit("what has arrived"):
            async with self._committing(
                lambda: [drafted(each) if isinstance(each, Draft) else each for each in events]
            ):
                return await self._log.absorb(events, public=public)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A transaction of the caller's own."""
        drafts: list[Draft] = []
        committing = self._committing(lambda: list(map(drafted, drafts)), is_open=True)
        async with committing as about_to_commit, self._log.transaction() as tx:
            yield tx
            drafts += tx.drafts
            about_to_commit()

    @contextlib.asynccontextmanager
    async def _committing(
        self, events: Callable[[], Sequence[Event]], *, is_open: bool = False
    ) -> AsyncIterator[Callable[[], None]]:
        """The block commits `events`; with `is_open` it says itself when it is about to."""

        def about_to_commit() -> None:
            if self._faults.among("fail_before", events(), HERE):
                raise InjectedFault("nothing was written")

        if not is_open:
            about_to_commit()
        yield about_to_commit
        await self._history.catch_up()
        self._activity.note()
        lost = self._faults.among("fail_after", events(), HERE)
        if lost:
            raise CommitUnknown("a fault injected by the test", [event.id for event in lost])


class WatchedLedger:
    """The ledger beside it."""

    def __init__(self, ledger: Any, calls: Calls, history: Recorded, activity: Activity, faults: Faults) -> None:
        self._ledger = ledger
        self._calls = calls
        self._history = history
        self._activity = activity
        self._faults = faults

    def __getattr__(self, name: str) -> Any:  # whatever else a ledger can do, it does by itself
        return getattr(self._ledger, name)

    async def settle(self, settlement: Settlement) -> Appended | None:
        """Commit the whole settlement in one transaction, unless it is to be lost."""
        with self._activity.commit(f"what {settlement.lease.group} has answered"):
            return await self._settle(settlement)

    async def _settle(self, settlement: Settlement) -> Appended | None:
        await self._history.catch_up()
        group = settlement.lease.group
        if settlement.work is not None:
            settlement.work = _Losable(settlement.work, lambda: self._lose_before(settlement))
        else:
            self._lose_before(settlement)
        appended: Appended | None = await self._ledger.settle(settlement)
        calls = self._settled(settlement)
        self._calls.settle(calls)
        await self._history.catch_up()
        lost = self._faults.among("fail_after", self._events(calls), group)
        if lost:
            raise CommitUnknown("a fault injected by the test", [event.id for event in lost])
        return appended

    def _lose_before(self, settlement: Settlement) -> None:
        """Nothing of the settlement happens, if one of its events meets such a fault.

        Raises:
            Fenced: the group's member is taken for dead, and its events go to whoever claims them next: itself.
            InjectedFault: the log has failed.
        """
        lease, events = settlement.lease, self._events(self._settled(settlement))
        if self._faults.among("duplicate", events, lease.group):
            raise Fenced(lease.group, lease.member)
        if self._faults.among("fail_before", events, lease.group):
            raise InjectedFault("nothing was settled")

    def _settled(self, settlement: Settlement) -> list[Call]:
        """The calls it answers: of its lanes up to its cursor, and of parked events; but for what it sets aside."""
        lease, lane = settlement.lease, self._history.lane
        upto = order_in(settlement.upto or "")
        aside, cleared = {one.order for one in settlement.parked}, set(settlement.cleared)
        return [
            call
            for call in self._calls.open(lease.group)
            if call.order in cleared or (call.order <= upto and lane(call.order) in lease.lanes)
            if call.order not in aside
        ]

    def _events(self, calls: Sequence[Call]) -> list[Event]:
        return [self._history.event(call.order) for call in calls]


class _Losable:
    """Work whose transaction comes to nothing when, at its end, `lose` raises; each time it is run, then."""

    def __init__(self, work: Any, lose: Callable[[], None]) -> None:
        self._work = work
        self._lose = lose
        self._lost: Exception | None = None

    def __call__(self, tx: Any, *, careful: bool) -> None:
        """Run the handlers with `tx`, on the writer's thread."""
        self._work(tx, careful=careful)
        if self._lost is None:
            try:
                self._lose()
            except Exception as lost:
                self._lost = lost
        if self._lost is not None:
            raise self._lost
