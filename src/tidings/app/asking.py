"""`Desk`: where the answers to one process's questions arrive, and who waits for which."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tidings.brokers import Broker
from tidings.errors import Unanswered
from tidings.events import Catalog, Event, contract
from tidings.handling.asking import Answer, answer_name
from tidings.handling.listening import ListeningRoom
from tidings.handling.trouble import Trouble


class Desk:
    """Answers arrive while it is open; it opens with the first question.

    They are heard by the process that asked, and nobody keeps them: who is gone needs no answer.
    """

    def __init__(self, app: str) -> None:
        self._app = app
        self._waiting: dict[str, asyncio.Future[Event]] = {}
        self._tasks: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}

    async def ask(
        self, question: Event, hear: Callable[[], Awaitable[Any]], send: Callable[[], Awaitable[Any]], timeout: float
    ) -> Event:
        """See that answers are heard, send the question, and wait for its answer.

        Raises:
            Unanswered: there was none in time.
        """
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting[question.id] = answer
        try:
            async with asyncio.timeout(timeout):
                await hear()
                await send()
                return await answer
        except TimeoutError:
            raise Unanswered(question.type, timeout) from None
        finally:
            del self._waiting[question.id]

    async def hear_log(self, room: ListeningRoom) -> None:
        """Hear the answers of this application's own handlers, in its log."""
        await self._hear("log", lambda ready: self._from_log(room, ready))

    async def hear_broker(self, broker: Broker) -> None:
        """Hear the answers of other services."""
        await self._hear("broker", lambda ready: self._from_broker(broker, ready))

    async def close(self) -> None:
        """Hear no more; whoever still waits is told at the end of its time."""
        tasks, self._tasks = [task for task, _ in self._tasks.values()], {}
        here = asyncio.get_running_loop()
        for task in tasks:
            with contextlib.suppress(RuntimeError):  # its loop has ended, and the task with it
                task.get_loop().call_soon_threadsafe(task.cancel)
        if own := [task for task in tasks if task.get_loop() is here]:
            await asyncio.wait(own)  # they take away what they have at the broker

    async def _hear(self, where: str, listen: Callable[[asyncio.Event], Any]) -> None:
        """Return when answers are heard from there; it is seen to that they go on being heard."""
        task, ready = self._tasks.get(where, (None, None))
        if task is None or ready is None or task.done():
            ready = asyncio.Event()
            task = asyncio.create_task(listen(ready), name=f"{self._app}:answers")
            self._tasks[where] = task, ready
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if task.done():
            task.result()

    async def _from_log(self, room: ListeningRoom, ready: asyncio.Event) -> None:
        wanted = contract(answer_name(self._app), Answer)
        catalog = Catalog.collect(wanted)
        async with room.listen((wanted,), catalog, after="latest", events=True, undecodable="skip") as answers:
            ready.set()
            async for event in answers:
                self._arrived([event])

    async def _from_broker(self, broker: Broker, ready: asyncio.Event) -> None:
        trouble = Trouble(f"{self._app}:answers")
        while True:
            try:
                async with broker.subscribe([answer_name(self._app)], group=None) as inbox:
                    ready.set()
                    trouble.over()
                    while True:
                        arrivals = await inbox.receive()
                        self._arrived([each.event for each in arrivals if each.failure is None])
                        await inbox.settle(arrivals)
            except Exception as error:
                ready.clear()  # what is asked now waits until answers are heard again
                await asyncio.sleep(trouble.met(error))

    def _arrived(self, answers: Sequence[Event]) -> None:
        for event in answers:
            waiting = self._waiting.get(event.causation_id or "")
            if waiting is not None and not waiting.done():
                waiting.set_result(event)
