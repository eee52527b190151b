"""How a member shows that it works: twice a second, or now and then while it only waits."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tidings.log.interface import Log

PULSE: Final = 0.5  # seconds between two pulses, and between looks for what no bell told of


async def keep_pulse(
    log: "Log",
    member: str,
    tell: Callable[[], Awaitable[None]] | None = None,
    is_idle: Callable[[], bool] = lambda: True,
) -> None:
    """Pulse until cancelled, and `tell` what there is to be told.

    While `is_idle` only the bell ends a wait of `pulse_every`: what needs a pulse meanwhile rings it, as news does.
    """
    loop = asyncio.get_running_loop()
    while True:
        may_rest = False
        with contextlib.suppress(Exception):  # who reads meets the same trouble, and reports it
            await log.ledger.pulse(member)
            if tell is not None:
                await tell()
            may_rest = is_idle()
        pulsed = loop.time()
        if may_rest:
            await _rest(log)
        await asyncio.sleep(max(pulsed + PULSE - loop.time(), 0.0))  # however often the bell rings


async def _rest(log: "Log") -> None:
    ear = log.bell.listen()
    try:
        await ear.wait(log.ledger.pulse_every)
    finally:
        log.bell.forget(ear)
