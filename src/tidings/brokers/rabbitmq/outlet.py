"""`Outlet`: one channel on which is published, opened when it is needed and again after it was lost."""

import asyncio
from collections.abc import Sequence

from tidings.brokers.rabbitmq.channels import Confirmed, Parcel
from tidings.brokers.rabbitmq.link import Link, end, translated


class Outlet:
    """Publishes on a connection; returns when the server has what was published on disk."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel: Confirmed | None = None
        self._opening = asyncio.Lock()

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Publish all, in order.

        Raises:
            EventRefused: one does not fit into the protocol.
            BrokerError: some or none of them were taken.
        """
        if not parcels:
            return
        settings = self._link.settings
        with translated(settings.url):
            try:
                async with asyncio.timeout(settings.timeout):
                    channel = await self._opened()
                    await channel.publish(parcels)
            except TimeoutError:
                self._channel = None
                await self._link.drop()  # it says nothing, so the next is to have a new connection
                raise

    async def close(self) -> None:
        """Close the channel, if there is one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await end(channel)

    async def _opened(self) -> Confirmed:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._link.channel(Confirmed, confirms=True)
            return self._channel
