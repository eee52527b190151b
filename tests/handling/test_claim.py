"""What a member has of its group, where something is changed while it is at work."""

import pytest

from tests.handling.stage import OrderCreated
from tidings import App
from tidings.clock import ManualClock
from tidings.events import Catalog
from tidings.handling.batch import Answers
from tidings.handling.claim import Claim
from tidings.handling.outgoing import Outgoing
from tidings.handling.settling import Settling
from tidings.log import Log, open_log


async def claim_of(log: Log) -> Claim:
    app = App("orders", "memory:")

    @app.on(OrderCreated, group="show")
    async def show(order: OrderCreated) -> None: ...

    (subscription,) = app.subscriptions
    clock = ManualClock()
    batch = Answers(subscription, Outgoing("orders", Catalog(()), clock), clock, None)
    settling = Settling("show", log, batch, clock, None)
    await log.ledger.join(subscription.group)
    return Claim(subscription, log, await log.ledger.enter(), batch, settling, clock, None)


@pytest.fixture
async def log(request: pytest.FixtureRequest) -> Log:
    return await open_log(f"memory:{request.node.name}")


async def test_what_was_changed_within_a_slice_is_taken_up_behind_it(log: Log) -> None:
    claim = await claim_of(log)
    await claim.take()
    await claim.take()  # to have lanes is news of its own
    assert not claim.is_stale

    await log.ledger.set_state("show", "paused", "an operator")
    assert claim.is_told
    assert await claim.renew()

    assert not claim.is_told
    assert claim.is_paused
    assert claim.is_stale  # what else was changed, such as which parked events are due, is not known yet
    assert await claim.take()
    assert not claim.is_stale
    await log.close()


async def test_lanes_that_went_to_another_member_end_the_claim(log: Log) -> None:
    claim = await claim_of(log)
    await claim.take()

    other = await log.ledger.enter()
    await log.ledger.claim("show", other)

    assert claim.is_told
    assert not await claim.renew()
    await log.close()
