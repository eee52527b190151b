"""`Claim`: what a member has of its group now, and whether that still holds."""

import logging

from tidings.clock import Clock
from tidings.handling.batch import Answers
from tidings.handling.flow.quiet import Quiet
from tidings.handling.report import say
from tidings.handling.settling import Settling
from tidings.handling.subscription import Subscription
from tidings.log import Lease, Log

_HUNG = 1.0  # seconds between looks at retries while some of them are due and their handler hangs


class Claim:
    """Which lanes it has and which keys of theirs wait, until members or an operator change something."""

    def __init__(
        self,
        subscription: Subscription,
        log: Log,
        member: str,
        batch: Answers,
        settling: Settling,
        clock: Clock,
        quiet: Quiet | None,
    ) -> None:
        self._group = subscription.name
        self._alone = subscription.policy.flow.singleton
        self._log = log
        self._member = member
        self._batch = batch
        self._settling = settling
        self._clock = clock
        self._quiet = quiet
        self._control = 0  # the counter of members' and operators' changes up to which the lease is known to hold
        self._is_behind = False  # on what they changed beside the lease, such as which parked events are due

    @property
    def is_told(self) -> bool:
        """Have members or an operator changed something since the last look?"""
        return self._log.bell.control != self._control

    @property
    def is_stale(self) -> bool:
        """Must it be taken anew?"""
        return self.is_told or self._is_behind

    @property
    def is_paused(self) -> bool:
        """Does an operator, or the group itself, want nothing to be handled?"""
        return self._settling.held.state == "paused"

    async def take(self) -> bool:
        """Begin under the lease that is had now; is it the one from before?"""
        lease = await self._leased()
        is_same = self._is_had(lease)
        if not is_same:
            facts = {"member": self._member, "lanes": len(lease.lanes), "fence": lease.fence}
            say(logging.INFO, "claim", group=self._group, **facts)
        self._settling.begin(lease)
        self._is_behind = False
        await self.recall()
        return is_same

    async def renew(self) -> bool:
        """Go on in the middle of a slice after something was changed; False when that was the lanes."""
        lease = await self._leased()
        self._is_behind = True
        if not self._is_had(lease):
            return False
        self._settling.held.state = lease.state
        return True

    async def recall(self) -> None:
        """Know again which keys wait, as the ledger has it."""
        batch, ledger, lease = self._batch, self._log.ledger, self._settling.held
        held = await ledger.held(lease)
        batch.held.clear()
        batch.held.update(held.keys)
        batch.next_due, batch.blocked, batch.passing = held.next_due, held.blocked, held.passing
        if batch.hung and batch.next_due is not None:  # it may be theirs, and theirs must wait
            batch.next_due = max(batch.next_due, self._clock.now() + _HUNG)
        if self._quiet is not None:
            self._quiet.recall(await ledger.deferred(lease))

    async def _leased(self) -> Lease:
        """The lease under what is known now."""
        self._control = self._log.bell.control
        return await self._log.ledger.claim(self._group, self._member, alone=self._alone)

    def _is_had(self, lease: Lease) -> bool:
        before = self._settling.lease
        return before is not None and before.fence == lease.fence and before.lanes.keys() == lease.lanes.keys()
