"""A member of three groups with an effect each, which may publish as well: `worker URL HISTORIES SEED [NAME COUNT]`.

- `bank.book`  `def` with `tx`: a row in `booked`, and a `coin:booked` event; now and then it fails
- `bank.note`  `async def` with `tx`: a row in `noted`
- `bank.hear`  no `tx`: notes in the history what it was given and, when that is settled, so

Says `ready`; `handled` for each call; `acked N` after each append; `claim` and `fence` lines; ends at SIGTERM.
"""

import asyncio
import random
import sys
from collections.abc import Callable
from typing import Any

from tests.crash.programs.coins import CoinBooked, CoinPaid
from tests.crash.programs.publisher import Publisher, Purse
from tests.crash.programs.talk import own_history, report, say
from tidings import App, Event, Retry
from tidings.log import Log, Settlement, Where
from tidings.log.group import LANES
from tidings.log.position import order_in
from tidings.log.record import envelope_of
from tidings.testing import History

COLUMNS = "event_id TEXT, account TEXT, number INTEGER"
ROWID = ", rowid bigint GENERATED ALWAYS AS IDENTITY"  # where tables have none by themselves
PAID = Where(types=frozenset({"coin:paid"}))
SOON = Retry(attempts=50, inline=1, wait=0.01, longest=0.05)


def bank(
    url: str,
    history: History,
    chance: random.Random,
    *,
    failing: float = 0.01,
    called: Callable[[str, str], None] = say,
) -> App:
    """The application; a call of `book` fails as often as `failing` says."""
    three = "?, ?, ?" if url.startswith("sqlite:") else "%s, %s, %s"
    app = App("bank", url, contracts=[CoinPaid, CoinBooked], drain=5.0)

    @app.on(CoinPaid, retry=SOON)
    def book(coin: CoinPaid, event: Event, tx: Any) -> CoinBooked:
        called("handled", event.id)
        tx.execute(
            f"INSERT INTO booked(event_id, account, number) VALUES ({three})", (event.id, coin.account, coin.number)
        )
        if chance.random() < failing:
            raise RuntimeError("the bank is closed")
        return CoinBooked(coin.account, coin.number)

    @app.on(CoinPaid, retry=SOON)
    async def note(coin: CoinPaid, event: Event, tx: Any) -> None:
        called("handled", event.id)
        await asyncio.sleep(0)
        row = (event.id, coin.account, coin.number)
        tx.execute(f"INSERT INTO noted(event_id, account, number) VALUES ({three})", row, rows=1)

    @app.on(CoinPaid)
    async def hear(coin: CoinPaid, event: Event) -> None:
        history.delivered("bank.hear", event.id, key=coin.account, sequence=coin.number)
        called("handled", event.id)

    return app


async def make_tables(app: App) -> None:
    """Where the handlers write."""
    rowid = ROWID if app.log_url is not None and app.log_url.startswith("postgresql:") else ""
    async with app.transaction() as tx:
        for table in ("booked", "noted"):
            tx.execute(f"CREATE TABLE IF NOT EXISTS {table}({COLUMNS}{rowid})")


def note_settled(log: Log, history: History, group: str) -> None:
    """From now on have the history say what of `group` is settled."""
    settle = log.ledger.settle
    noted = 0

    async def settle_and_note(settlement: Settlement) -> Any:
        nonlocal noted
        answer = await settle(settlement)
        lease = settlement.lease
        if lease.group == group and settlement.upto is not None:
            last, after = order_in(settlement.upto), max(noted, min(lease.lanes.values()))
            noted = max(noted, last)
            while after < last:
                found = await log.scan(lease.epoch.position(after), PAID, limit=500)
                for record in found.records:
                    if record.order <= last and record.slot % LANES in lease.lanes:
                        history.settled(group, envelope_of(record, "").id)
                after = order_in(found.upto)
        return answer

    log.ledger.settle = settle_and_note  # type: ignore[method-assign]


async def work(url: str, history: History, chance: random.Random, name: str, count: int) -> None:
    app = bank(url, history, chance)
    async with app:
        await make_tables(app)
        note_settled(app.log, history, "bank.hear")
        say("ready")
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(Publisher(app, history, count).run(Purse(name, chance), chance))
            await app.run()
            publishing.cancel()


if __name__ == "__main__":
    report("claim", "fence")
    url, folder, seed = sys.argv[1:4]
    name, count = (sys.argv[4], int(sys.argv[5])) if len(sys.argv) > 4 else ("", 0)
    asyncio.run(work(url, own_history(folder), random.Random(seed), name, count))
