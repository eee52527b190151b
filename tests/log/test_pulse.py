"""How often a member pulses: seldom while it waits, at once when the bell rings, steadily while it works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tidings.log.bell import Bell
from tidings.log.pulse import PULSE, keep_pulse

_LIMIT = 20.0  # seconds, for what takes half of one
_NEVER = 3600.0


class Patient:
    """A log whose members need not pulse for a while."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.ledger = self
        self.pulse_every = _NEVER
        self.pulses = asyncio.Semaphore(0)
        self.resting = asyncio.Event()
        self.failure: Exception | None = None

    async def pulse(self, member: str) -> None:
        self.pulses.release()
        if self.failure is not None:
            raise self.failure

    def is_idle(self) -> bool:
        self.resting.set()
        return True


@asynccontextmanager
async def _kept(log: Any, **how: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_pulse(log, "m", **how))
    try:
        async with asyncio.timeout(_LIMIT):
            yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_who_waits_pulses_again_when_the_bell_rings() -> None:
    log = Patient()
    async with _kept(log, is_idle=log.is_idle):
        await log.pulses.acquire()
        await log.resting.wait()
        assert log.pulses.locked()

        log.bell.ring()
        await log.pulses.acquire()


async def test_who_waits_is_quiet_and_listens_only_meanwhile() -> None:
    log = Patient()
    async with _kept(log, is_idle=log.is_idle):
        await log.pulses.acquire()
        await log.resting.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * PULSE):
                await log.pulses.acquire()

    assert log.bell._ears == ()


async def test_who_works_pulses_on() -> None:
    log = Patient()
    async with _kept(log, is_idle=lambda: False):
        for _ in range(3):
            await log.pulses.acquire()


async def test_what_fails_is_tried_again_and_what_is_to_be_told_is_told() -> None:
    log, told = Patient(), asyncio.Semaphore(0)
    log.failure = RuntimeError("the disk is gone")

    async def tell() -> None:
        told.release()

    async with _kept(log, tell=tell, is_idle=log.is_idle):  # there is no rest before it has pulsed
        await log.pulses.acquire()
        await log.pulses.acquire()
        assert told.locked()

        log.failure = None
        await told.acquire()
