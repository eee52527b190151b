"""`Listener`: what is heard without a group, through consumers that go with it."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from tidings.brokers.interface import Arrival
from tidings.brokers.nats.carrier import Carrier
from tidings.brokers.nats.consumers import settings
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.part import Part
from tidings.brokers.nats.receiving import Receiving
from tidings.errors import BrokerError, TidingsError

_LEFT = 30_000_000_000  # nanoseconds after which the server forgets the consumer of one that died
_BEATS = 4  # in a session


class Listener(Receiving):
    """Everybody's own; nothing of it is left behind."""

    def __init__(
        self, carrier: Carrier, link: Link, heard: frozenset[str] | None, patterns: Sequence[str], prefetch: int
    ) -> None:
        super().__init__(carrier, link, patterns, prefetch)
        self._heard = heard
        self._rung = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._ear: bytes | None = None
        self._beat = 0

    async def begin(self, start: str) -> None:
        """Hear what comes from now on, and of channels that are made later all."""
        self._ear = self.link.subscribe("$JS.EVENT.ADVISORY.STREAM.CREATED.>", self._hear_of_channel)
        await self._find_channels("latest")
        self._life = asyncio.create_task(self._live(), name="listener: signs of life")

    async def end(self) -> None:
        """Have the server forget the consumers."""
        if self._life is not None:
            life, self._life = self._life, None
            life.cancel()
            await asyncio.wait([life])
        if self.link.lost is None:
            if self._ear is not None:
                self.link.unsubscribe(self._ear)
                self.link.forget(self._ear)
            questions = [(f"CONSUMER.DELETE.{part.stream}.{part.consumer}", None) for part in self.parts.values()]
            for part in self.parts.values():
                part.leave()
            with contextlib.suppress(TidingsError):  # else the server forgets them after a while
                await self.carrier.wire.try_all(questions)
        self.fail(BrokerError(f"{self.carrier.settings.shown}: this inbox has ended"))
        self.stop_hearing()

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """There is no group whose dead letter it could be: it is dropped."""
        await self.settle([arrival])

    async def _live(self) -> None:
        """Look for channels, and say of what takes long that it is worked on."""
        interval = self.carrier.settings.session / _BEATS
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(interval):
                        await self._rung.wait()
                self._beat += 1
                self.link.send(b"".join([part.signs(self._beat) for part in self.parts.values()]))
                if self._rung.is_set() or not self._beat % _BEATS:
                    self._rung.clear()
                    await self._find_channels("earliest")
                self.news()  # requests that have ended are made again
        except Exception as error:  # told to whoever receives
            self.fail(error)

    async def _find_channels(self, start: str) -> None:
        heard = await self.carrier.streams.existing()
        new = sorted(heard if self._heard is None else heard & self._heard)
        new = [channel for channel in new if (channel, 0) not in self.parts]
        config = {"inactive_threshold": _LEFT, "mem_storage": True, **settings(self.carrier.settings.patience, start)}
        questions: list[tuple[str, Any]] = []
        for channel in new:
            stream = self.carrier.names.stream(channel)
            questions.append((f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config}))
        for channel, made in zip(new, await self.carrier.wire.api_all(questions), strict=True):
            stream = self.carrier.names.stream(channel)
            part = Part(self.link, channel, stream, made["name"], self.carrier.settings.session, self.news)
            part.begin()
            self.parts[channel, 0] = part
        if new:
            self.news()

    def _hear_of_channel(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        if self.carrier.names.channel(subject.decode().rpartition(".")[2]) is not None:
            self._rung.set()
