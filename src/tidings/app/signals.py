"""Being told to end: SIGTERM and SIGINT."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def signals(ending: asyncio.Event) -> Iterator[None]:
    """The first SIGTERM or SIGINT sets `ending`, the second has its usual effect."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()

    def told(number: int) -> None:
        ending.set()
        loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, told, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
