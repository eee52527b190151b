"""A service with a log of its own and a bus: `service NAME LOG BUS FAULT SEED`.

`orders` relays what its log has; `bank` hears `coin:paid` and returns `coin:booked`. FAULT is `none`, `relaying`
(killed after a publish to the bus, before that is settled) or `receiving` (killed when what arrived is recorded, before
that is settled), at a random one of the first few. Says `ready`, and `sent ID...` before each publish.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Sequence
from typing import Any

from tests.crash.programs.coins import CoinBooked, CoinPaid
from tests.crash.programs.talk import say
from tidings import App, Event
from tidings.brokers import Arrival
from tidings.brokers.log import LogBroker
from tidings.brokers.log_inbox import LogInbox
from tidings.log.sqlite import SqliteLog


def service(name: str, log: str, bus: str) -> App:
    """The application."""
    app = App(name, log=log, broker=bus, contracts=[CoinPaid, CoinBooked], drain=5.0)
    if name == "bank":

        @app.on(CoinPaid)
        def book(coin: CoinPaid, event: Event, tx: Any) -> CoinBooked:
            tx.execute("CREATE TABLE IF NOT EXISTS booked(event_id TEXT, account TEXT, number INTEGER)")
            tx.execute("INSERT INTO booked VALUES (?, ?, ?)", (event.id, coin.account, coin.number))
            return CoinBooked(coin.account, coin.number)

    return app


def strike(left: int) -> Any:
    """A function that kills this process when it is called for the last of so many times."""
    calls = iter(range(left, -1, -1))

    def struck() -> None:
        if not next(calls):
            os.kill(os.getpid(), signal.SIGKILL)

    return struck


def watch_relay(struck: Any) -> None:
    """Say what is sent; be struck once it is."""
    publish = LogBroker.publish

    async def watched(self: LogBroker, events: Sequence[Event]) -> None:
        say("sent", *[event.id for event in events])
        await publish(self, events)
        struck()

    LogBroker.publish = watched  # type: ignore[method-assign]


def watch_receipt(struck: Any) -> None:
    """Be struck when what arrived is recorded."""
    settle = LogInbox.settle

    async def watched(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        struck()
        await settle(self, arrivals)

    LogInbox.settle = watched  # type: ignore[method-assign]


async def main(name: str, log: str, bus: str, fault: str, seed: str) -> None:
    chance = random.Random(seed)
    never = strike(10**9)
    watch_relay(strike(chance.randrange(4)) if fault == "relaying" else never)
    watch_receipt(strike(chance.randrange(4)) if fault == "receiving" else never)
    app = service(name, log, bus)
    async with app.running():
        assert isinstance(app.log, SqliteLog)
        say("ready")
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        await ending.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
