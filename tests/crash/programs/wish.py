"""An operator killed once their wish is committed, before anybody is told: `wish FILE WINDOW METHOD GROUP [STATE]`."""

import asyncio
import sys

from tests.crash.programs.talk import forever
from tests.crash.programs.window import Window
from tidings.log.sqlite import SqliteLog


async def main(path: str, window: str, method: str, *arguments: str) -> None:
    log = await SqliteLog.open(path)
    Window(log, window).before(log.ledger, method)
    await getattr(log.ledger, method)(*arguments)
    await forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
