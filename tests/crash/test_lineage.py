"""Consumers killed in the middle of a batch: the lineage says handled of exactly what was settled."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.crash.oracle import recorded, rows
from tests.crash.processes import Start
from tidings.handling.trace.receptions import receptions
from tidings.log import START, Record, open_log
from tidings.log.record import envelope_of

_AT_ONCE = 500
_EVENTS = 2000
_EFFECTS = {"bank.book": "booked", "bank.note": "noted"}  # group -> the table its handler writes to


async def told(url: str) -> tuple[dict[str, set[object]], set[str]]:
    """By group the ids of the events that the lineage says were handled; and all that it has rows of."""
    log = await open_log(url)
    try:
        await recorded(log)
        handled: dict[str, set[object]] = {group: set() for group in _EFFECTS}
        whats: set[str] = set()
        after, at_head = START, False
        while not at_head:
            found = await log.scan(after, limit=_AT_ONCE)
            after, at_head = found.upto, found.at_head
            known = await log.ledger.lineage([(record.order, record.slot) for record in found.records])
            whats |= {fate.what for fate in known.fates}
            for record in found.records:
                for reception in receptions(record, known):
                    is_handled = "handled" in {reception.state, *(step.what for step in reception.steps)}
                    if reception.group in handled and is_handled:
                        handled[reception.group].add(_id(record))
        return handled, whats
    finally:
        await log.close()


def _id(record: Record) -> str:
    return envelope_of(record, "").id


def test_of_a_killed_consumer_only_what_was_settled_is_said_to_be_handled(
    start: Start, url: str, tmp_path: Path, chance: random.Random, trials: Callable[[int], int]
) -> None:
    publisher = start("publisher", url, tmp_path / "published", "p", _EVENTS, chance.randrange(2**32), 20, 4)
    publisher.expect("done")
    seen: set[str] = set()

    for _ in range(trials(6)):
        worker = start("worker", url, tmp_path / "heard", chance.randrange(2**32))
        worker.expect("ready")
        worker.listen(chance.randrange(200, 3000))
        time.sleep(chance.random() * 0.3)  # the instant of the fault, which nothing marks
        worker.kill()
        handled, whats = asyncio.run(told(url))
        seen |= whats

        for group, table in _EFFECTS.items():
            written = {row[0] for row in rows(url, f"SELECT event_id FROM {table}")}
            assert handled[group] == written, f"{group}: {len(handled[group])} told, {len(written)} written"

    print(f"{ {group: len(handled[group]) for group in _EFFECTS} } handled in the end, of {_EVENTS}")
    assert all(handled.values())
    assert "lost" in seen  # somebody who died had lanes, and the next one said so
