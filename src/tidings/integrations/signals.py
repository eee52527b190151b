"""Signals of the operating system as events: `process:signal`."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterable

from tidings import App, event
from tidings.errors import ConfigurationError

_ENDING = (signal.SIGTERM, signal.SIGINT)


@event("process:signal", public=False)
class ProcessSignal:
    """A process was sent a signal."""

    name: str  # "SIGHUP"
    number: int
    pid: int  # of the process that got it


class SignalsIn:
    """A source that publishes the signals its process is sent; without any named, SIGHUP.

        app.include(SignalsIn(signal.SIGHUP, signal.SIGUSR1))

        @app.on(ProcessSignal)
        async def reload(sent: ProcessSignal) -> None: ...

    The same signal again before the first is recorded is one event, as the system itself does it. SIGTERM and SIGINT
    end `app.run`; with `instead_of_ending` they are events like others, and a handler must stop the application.

    Raises:
        ConfigurationError: a signal cannot be listened to, or would no longer end the process.
    """

    def __init__(self, *signals: signal.Signals | str, instead_of_ending: bool = False, name: str = "signals") -> None:
        self.name = name
        self.signals = tuple(map(_known, signals or (signal.SIGHUP,)))
        self._sent: dict[signal.Signals, None] = {}  # those not yet recorded, in order
        self._news = asyncio.Event()
        ending = [each.name for each in self.signals if each in _ENDING]
        if ending and not instead_of_ending:
            raise ConfigurationError(
                f"{' and '.join(ending)} would no longer end app.run: leave them out, or say instead_of_ending=True and"
                " stop the application yourself"
            )

    async def run(self, app: App) -> None:
        """Publish each signal as it comes, until cancelled.

        Raises:
            ConfigurationError: this is not the main thread, which alone is told of signals.
        """
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            raise ConfigurationError(
                f"{self.name} hears nothing: signals reach the main thread alone, run the app there"
            )
        for number in self.signals:
            loop.add_signal_handler(number, self._told, number)
        try:
            while True:
                await self._news.wait()
                await self._publish(app)
        except asyncio.CancelledError:  # after a failure they stay: by itself, SIGUSR1 would end the process
            _listen_no_more(loop, self.signals)
            raise

    async def _publish(self, app: App) -> None:
        while self._sent:
            number = next(iter(self._sent))
            await app.publish(ProcessSignal(number.name, number.value, os.getpid()))
            del self._sent[number]
        self._news.clear()

    def _told(self, number: signal.Signals) -> None:
        self._sent[number] = None
        self._news.set()


def _known(number: signal.Signals | str) -> signal.Signals:
    try:
        found = signal.Signals[number] if isinstance(number, str) else signal.Signals(number)
    except (KeyError, ValueError):
        raise ConfigurationError(f"{number!r} is no signal here: use one of signal.Signals, as in 'SIGHUP'") from None
    if found in (signal.SIGKILL, signal.SIGSTOP):
        raise ConfigurationError(f"{found.name} is never told to a process: choose another")
    return found


def _listen_no_more(loop: asyncio.AbstractEventLoop, signals: Iterable[signal.Signals]) -> None:
    for number in signals:
        loop.remove_signal_handler(number)
