"""What goes into a settlement: the answers up to where it says, and no others."""

import pytest

from tidings import Event
from tidings.clock import ManualClock
from tidings.events import Catalog
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.outgoing import Outgoing
from tidings.handling.policy import Retry, policy
from tidings.handling.settling import Settling, Unsettled
from tidings.handling.subscription import subscription
from tidings.log import Log, open_log
from tidings.log.group import Group


async def handle(order: object) -> None: ...


async def begun(log: Log, clock: ManualClock) -> tuple[Settling, Answers, list[Item]]:
    """A batch of three events, of which the first and the last have failed for good."""
    await log.append([Event(source="x", type="order:created", data=number, key=str(number)) for number in range(3)])
    await log.ledger.join(Group("g"))
    lease = await log.ledger.claim("g", await log.ledger.enter())
    rules = policy(retry=Retry.never())
    batch = Answers(
        subscription("shop", ["**"], handle, rules, group="g", start="earliest"),
        Outgoing("shop", Catalog.collect(), clock),
        clock,
    )
    settling = Settling("g", log, batch, clock, None)
    settling.begin(lease)
    items = [Item(record, lease.epoch) for record in (await log.scan("")).records]
    batch.failed(items[0], OSError(), 1)
    batch.failed(items[2], OSError(), 1)
    return settling, batch, items


async def test_answers_past_the_place_settled_wait(url: str, clock: ManualClock) -> None:
    log = await open_log(url, clock=clock)
    settling, batch, items = await begun(log, clock)

    await settling.settle(items[1].record.order)
    assert [one.order for one in await log.ledger.parked()] == [items[0].record.order]
    assert not batch.is_empty

    settling.cursor = items[2].record.order
    await settling.settle(None)
    assert [one.order for one in await log.ledger.parked()] == [items[0].record.order, items[2].record.order]
    assert (await log.ledger.groups())[0].lag == 0
    await log.close()


async def test_while_parked_events_are_gone_through_the_cursor_stands_still(url: str, clock: ManualClock) -> None:
    log = await open_log(url, clock=clock)
    settling, _, items = await begun(log, clock)

    settling.moving = False
    await settling.settle(items[1].record.order)

    assert len(await log.ledger.parked()) == 2
    assert (await log.ledger.groups())[0].lag == 3
    await log.close()


async def test_a_settlement_that_fails_says_why(url: str, clock: ManualClock) -> None:
    log = await open_log(url, clock=clock)
    settling, _, _ = await begun(log, clock)
    await log.ledger.reset("g", "")

    with pytest.raises(Unsettled) as failed:
        await settling.settle(None)

    assert type(failed.value.error).__name__ == "Fenced"
    await log.close()


async def test_without_a_lease_nothing_is_settled(url: str, clock: ManualClock) -> None:
    log = await open_log(url, clock=clock)
    settling, batch, _ = await begun(log, clock)

    settling.lose()
    await settling.settle(None)

    assert batch.is_empty
    assert await log.ledger.parked() == []
    await log.close()
