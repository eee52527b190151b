"""Being told to end: SIGTERM and SIGINT."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def signals(ending: asyncio.Event) -> Iterator[None]:
    """The first SIGTERM or SIGINT sets `ending`; the second, whichever it is, has its usual effect."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()

    def listen_no_more() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    def told() -> None:
        ending.set()
        listen_no_more()

    for number in numbers:
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        listen_no_more()
