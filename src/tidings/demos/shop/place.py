"""Where the shop's files are, and how one of its services is run: what the four have in common."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from tidings import App

FOLDER = os.path.abspath(os.environ.get("TIDINGS_SHOP", "."))
BUS = os.environ.get("TIDINGS_SHOP_BROKER") or f"sqlite:///{FOLDER}/bus.db"
LOGS = os.environ.get("TIDINGS_SHOP_LOG", "")  # a database server, where each service has a schema of its own
POISON = 13  # the order that notification cannot handle
READY = "ready"
Beside = Callable[[], Coroutine[Any, Any, None]]


def log_of(service: str, folder: str = FOLDER, logs: str = LOGS) -> str:
    """The log of a service: its own file, or its own part of a database, which nobody else opens."""
    if not logs:
        return f"sqlite:///{folder}/{service}.db"
    return f"{logs}{'&' if '?' in logs else '?'}schema=shop_{service}"


def serve(app: App, *, beside: Beside | None = None) -> None:
    """Run the service until told to stop, or until whoever started it is gone; and say when it is at work."""
    asyncio.run(_serve(app, beside))


async def _serve(app: App, beside: Beside | None) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with app.running(), asyncio.TaskGroup() as tasks:
        print(READY, flush=True)
        busy = tasks.create_task(_until_done(beside or _end_of_input, stop))
        await stop.wait()
        busy.cancel()


async def _until_done(beside: Beside, stop: asyncio.Event) -> None:
    await beside()
    stop.set()


async def _end_of_input() -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        os.read(0, 1)  # not sys.stdin: a thread that waits in it keeps the interpreter from ending
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, name="shop-input", daemon=True).start()
    await ended.wait()
