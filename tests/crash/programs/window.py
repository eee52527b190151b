"""Ends itself with SIGKILL in one window of one transaction: `window URL WINDOW WHAT [FAILING]`.

WHAT is `append`, `settle:<group>` (one with more in it than progress, if the group ever has that) or another method of
the ledger. WINDOW is one of the points at which the writer calls its hook.
"""

import asyncio
import os
import random
import signal
import sys
from typing import Any

from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.finish import until_idle
from tests.crash.programs.talk import Told, forever, report, say
from tests.crash.programs.worker import bank, make_tables
from tidings.log.sqlite import SqliteLog
from tidings.testing import History

ACCOUNT = "window"


class Window:
    """Arms the writer's hook when the transaction that is meant has been asked for."""

    def __init__(self, log: SqliteLog, window: str) -> None:
        self._log = log
        self._window = window
        self._armed = self._committed = False
        log.threads.writer.hook = self._at

    def before(self, owner: Any, method: str, group: str = "") -> None:
        """Mean the next call of `owner.method`; of `settle`, the next one of `group`."""
        call = getattr(owner, method)

        async def armed(*arguments: Any, **options: Any) -> Any:
            self._armed = self._armed or not group or is_meant(arguments[0], group)
            return await call(*arguments, **options)

        setattr(owner, method, armed)

    def _at(self, point: str) -> None:
        if self._armed and point == self._window and (point != "told" or self._committed):
            os.kill(os.getpid(), signal.SIGKILL)
        self._committed = self._armed and point == "committed"


def is_meant(settlement: Any, group: str) -> bool:
    has_content = settlement.work or settlement.writes or settlement.events or settlement.parked
    return settlement.lease.group == group and bool(has_content or group == "bank.hear")


async def main(url: str, window: str, what: str, failing: str = "0") -> None:
    app = bank(url, History(), random.Random(0), failing=float(failing))
    async with app:
        await make_tables(app)
        log = app.log
        assert isinstance(log, SqliteLog)
        fault = Window(log, window)
        method, _, group = what.partition(":")
        if method == "append":
            fault.before(log, "append")
            numbers = [int(number) for number in group.split(",")]
            await app.publish_many([paid(CoinPaid(ACCOUNT, number)) for number in numbers])
        elif method == "leave":
            async with app.running():
                await until_idle(app)
                say("idle")
                await Told().until("leave")
                fault.before(log.ledger, method)
        else:
            fault.before(log.ledger, method, group)
            async with app.running():
                await forever()
        await forever()  # `told` comes after the answer


if __name__ == "__main__":
    report("claim")
    asyncio.run(main(*sys.argv[1:]))
