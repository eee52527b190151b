"""What is special about memory: names shared in one process, and no SQL."""

import pytest

from tidings.errors import ConfigurationError, TransactionMisuse
from tidings.events import Event
from tidings.log import START, Settlement, open_log
from tidings.log.group import Group
from tidings.log.memory import MemoryLog

EVENT = Event(id="1", source="shop", type="order:created", data={})


async def test_without_a_name_every_log_is_its_own() -> None:
    one, other = await open_log("memory:"), await open_log("memory:")

    await one.append([EVENT])

    assert (await other.scan(START)).records == []
    await one.close()
    await other.close()


async def test_a_name_is_shared_until_the_last_one_closes() -> None:
    one, other = await open_log("memory:shop"), await open_log("memory:shop")
    await one.append([EVENT])
    await one.close()
    assert len((await other.scan(START)).records) == 1
    await other.close()

    again = await open_log("memory:shop")

    assert (await again.scan(START)).records == []
    await again.close()


async def test_the_log_of_another_life_does_not_know_a_position() -> None:
    one, other = await open_log("memory:"), await open_log("memory:")
    appended = await one.append([EVENT])
    await other.append([EVENT])

    with pytest.raises(Exception, match="is not in this log"):
        await other.scan(appended.last)
    await one.close()
    await other.close()


async def test_sql_is_refused_in_one_sentence_and_nothing_is_settled() -> None:
    log = await MemoryLog.open()
    await log.append([EVENT])
    await log.ledger.join(Group("g"))
    lease = await log.ledger.claim("g", await log.ledger.enter())

    with pytest.raises(ConfigurationError, match=r"no SQL.*use sqlite"):
        await log.ledger.settle(Settlement(lease, upto=await log.head(), writes=[("DELETE FROM stock", (), None)]))
    with pytest.raises(ConfigurationError, match=r"no SQL.*use sqlite"):
        await log.ledger.settle(Settlement(lease, upto=await log.head(), work=lambda tx, *, careful: None))

    assert (await log.ledger.groups())[0].position == START
    await log.close()


async def test_a_recorder_takes_events_and_nothing_else() -> None:
    log = await MemoryLog.open()
    tx = log.recorder()

    await log.append([EVENT], tx=tx)

    assert [one.id for one in tx.drafts] == ["1"]
    assert tx.writes == []
    with pytest.raises(ConfigurationError, match="no SQL"):
        tx.execute("DELETE FROM stock")
    with pytest.raises(ConfigurationError, match="no SQL"):
        await tx.fetch("SELECT 1")
    with pytest.raises(TransactionMisuse):
        tx.commit()
    with pytest.raises(TransactionMisuse):
        tx.rollback()
    await log.close()
