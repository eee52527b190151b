"""`Acknowledging`: tells the carrier what is done, beside whoever does it, so that neither waits for the other."""

import asyncio
from collections.abc import Callable

from tidings.brokers import Arrival, Inbox
from tidings.concurrency import together

_MOST = 1000  # arrivals in one settlement, about
_AT_ONCE = 32  # settlements under way: on Kafka one takes as long as it takes to handle thousands


class Acknowledging:
    """What is done, on its way to the inbox; how much that is at most, the inbox's `prefetch` says."""

    def __init__(self, inbox: Inbox, on_taken: Callable[[], None]) -> None:
        self._inbox = inbox
        self._on_taken = on_taken  # called when the carrier has taken a settlement: it gets on
        self._done: asyncio.Queue[list[Arrival] | None] = asyncio.Queue()

    def add(self, arrivals: list[Arrival]) -> None:
        """These are done."""
        self._done.put_nowait(arrivals)

    def end(self) -> None:
        """No more is to come; `run` returns when all is settled."""
        for _ in range(_AT_ONCE):
            self._done.put_nowait(None)

    async def run(self) -> None:
        """Settle what is done, until told to end.

        Raises:
            Fenced, BrokerError, LogError: it was not taken, and may come again.
        """
        await together(*(self._settle() for _ in range(_AT_ONCE)))

    async def _settle(self) -> None:
        while (done := await self._done.get()) is not None:
            done = self._with_others(done)
            if done:
                await self._inbox.settle(done)
            self._on_taken()

    def _with_others(self, done: list[Arrival]) -> list[Arrival]:
        """All that is done by now: where a settlement takes longer than handling, few lists would wait behind many."""
        waiting = self._done
        while not waiting.empty() and len(done) < _MOST:
            more = waiting.get_nowait()
            if more is None:
                waiting.put_nowait(None)  # the end comes once to each
                break
            done = done + more
        return done
