"""Waiting inside the test's own process: for something to hold, with a limit, at every ring and a slow look beside."""

import asyncio
from collections.abc import Awaitable, Callable

from tidings import App
from tidings.log import Parked


async def until(app: App, holds: Callable[[], bool | Awaitable[bool]], *, within: float = 20.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it does not.
    """
    ear = app.log.bell.listen()
    try:
        async with asyncio.timeout(within):
            while True:
                answer = holds()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await ear.wait(0.02)
    finally:
        app.log.bell.forget(ear)


async def parked(app: App, state: str, count: int, *, within: float = 20.0) -> list[Parked]:
    """Wait until so many events are set aside in this state; gives them."""

    async def are_there() -> bool:
        return len(await app.log.ledger.parked(state=state)) == count

    await until(app, are_there, within=within)
    return await app.log.ledger.parked(state=state)


async def idle(app: App, *, within: float = 20.0) -> None:
    """Wait until every group has answered everything."""

    async def is_idle() -> bool:
        return not any(group.lag or group.retry or group.blocked for group in await app.log.ledger.groups())

    await until(app, is_idle, within=within)
