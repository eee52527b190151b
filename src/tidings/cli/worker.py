"""One process of `tidings run`: `python -m tidings.cli.worker shop:app`."""

import asyncio
import contextlib
import logging
import os
import sys
import threading

from tidings import App, TidingsError
from tidings.errors import BrokenContracts, ConfigurationError, LogDamaged, LogReadOnly, MissingExtra, NewerSchema
from tidings.handling.oversight.standstill import standstills_told

UNFIT = 78  # EX_CONFIG: starting again will not help
_MISFITS = (ConfigurationError, BrokenContracts, MissingExtra, NewerSchema, LogReadOnly)


def main() -> int:
    """Run the application named until told to stop, or until the supervisor is gone."""
    from tidings.cli.target import load

    opened = threading.Event()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    try:
        app = load(sys.argv[1]).app
        assert app is not None
        app.on_start(opened.set)
        asyncio.run(_run(app))
    except KeyboardInterrupt:
        return 130
    except TidingsError as error:
        print(f"tidings: {error}", file=sys.stderr)
        is_unfit = isinstance(error, _MISFITS) or (isinstance(error, LogDamaged) and not opened.is_set())
        return UNFIT if is_unfit else 1
    return 0


async def _run(app: App) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        os.read(0, 1)  # nothing is ever written: it returns when the other end is gone
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="tidings-supervisor", daemon=True).start()
    with standstills_told(app.subscriptions):
        await app.run(stop)


if __name__ == "__main__":
    sys.exit(main())
