"""A connection that is made when it is first needed, and again after it was lost; shared by all who ask a little."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tidings.brokers.redis.connecting import connected
from tidings.brokers.redis.link import Link, checked, packed
from tidings.brokers.redis.settings import Settings


class Wire:
    """What asks no blocking question: publishing, settling, signs of life."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._link: Link | None = None
        self._connecting = asyncio.Lock()

    async def link(self) -> Link:
        """The connection, open.

        Raises:
            BrokerUnreachable: there is none to be had.
        """
        if self._link is not None and self._link.lost is None:
            return self._link
        async with self._connecting:
            if self._link is None or self._link.lost is not None:
                self._link = await connected(self.settings)
            return self._link

    async def ask(self, commands: Sequence[bytes]) -> Sequence[Any]:
        """The answers to packed commands, in one round trip.

        Raises:
            BrokerUnreachable: the connection failed, and whether they were carried out is unknown.
            BrokerError: one of them was refused.
        """
        link = await self.link()
        return checked(await link.wait(link.ask(b"".join(commands), len(commands))), self.settings.shown)

    async def run(self, script: str, *arguments: str | bytes | int) -> Any:
        """What a script answers. It is sent whole, as no server has to remember it then; it runs seldom.

        Raises:
            BrokerUnreachable, BrokerError: as `ask`.
        """
        [answer] = await self.ask([packed("EVAL", script, 0, self.settings.prefix, *arguments)])
        return answer

    def post(self, commands: Sequence[bytes]) -> None:
        """Send what need not be waited for; with the connection lost it is not sent."""
        if self._link is not None:
            _ = self._link.ask(b"".join(commands), len(commands))

    async def close(self) -> None:
        """Let go of it; who asks again connects again."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()
