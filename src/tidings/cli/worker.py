"""One process of `tidings run`: `python -m tidings.cli.worker shop:app`."""

import asyncio
import contextlib
import logging
import os
import sys
import threading

from tidings import App, TidingsError
from tidings.errors import BrokenContracts, ConfigurationError

UNFIT = 78  # EX_CONFIG: starting again will not help


def main() -> int:
    """Run the application named until told to stop, or until the supervisor is gone."""
    from tidings.cli.target import load

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    try:
        app = load(sys.argv[1]).app
        assert app is not None
        asyncio.run(_run(app))
    except KeyboardInterrupt:
        return 130
    except TidingsError as error:
        print(f"tidings: {error}", file=sys.stderr)
        return UNFIT if isinstance(error, ConfigurationError | BrokenContracts) else 1
    return 0


async def _run(app: App) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        os.read(0, 1)  # nothing is ever written: it returns when the other end is gone
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="tidings-supervisor", daemon=True).start()
    await app.run(stop)


if __name__ == "__main__":
    sys.exit(main())
