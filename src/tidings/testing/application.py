"""`TestApp`: a user's own application run by a test, on a log in memory, at a time that the test decides."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, Self

import msgspec

from tidings.app import App
from tidings.clock import ManualClock
from tidings.errors import CommitUnknown, ConfigurationError
from tidings.events import Event, new_id
from tidings.handling.outgoing import Outgoing
from tidings.testing.asserting import Assertions
from tidings.testing.events import Events
from tidings.testing.faults import Faults, InjectedFault
from tidings.testing.outcomes import Handled, Held, SetAside, UnexpectedDeadLetters, handled
from tidings.testing.quiet import ANY_HOLD, PASSING, NotSettled, Standing
from tidings.testing.stage import Stage

_TRIES = 5  # to publish, where faults are injected


class TestApp(Assertions):
    """The application's handlers at work for one test, on a log of its own, with none of its URLs touched.

        async with TestApp(app) as test:
            await test.publish(OrderCreated(order_id=7))
            await test.settle()
            test.assert_published(StockReserved(order_id=7))

    The log is in memory, or with `log="sqlite"` in a temporary file; that is chosen by itself when a handler takes
    `tx`, as memory has no SQL. A broker is replaced by one in memory, with both relays at work. An application without
    a log gets none: its handlers hear that broker, which hands over later, keeps dead letters and order as its own
    does. The clock stands until the test moves it; waits between tries on the spot take none of its time. When the
    block ends, a dead letter that `assert_dead` has not asked for raises `UnexpectedDeadLetters`, unless
    `raise_dead=False`; and the application is as it was before.

    Raises:
        ConfigurationError: on entering: the application is open, or a fault is of a broker and it has none.
    """

    __test__ = False  # pytest collects classes by this beginning

    def __init__(
        self,
        app: App,
        *,
        log: Literal["memory", "sqlite"] | None = None,
        clock: ManualClock | None = None,
        faults: Faults | None = None,
        raise_dead: bool = True,
    ) -> None:
        self.app = app
        self.clock = clock or ManualClock()
        self.faults = faults or Faults(seed=0)
        self._raise_dead = raise_dead
        self._log_kind = log
        self._stack = AsyncExitStack()
        self._expected_dead: set[tuple[str, str]] = set()
        self._aside_now: list[SetAside] = []
        self._held_now: list[Held] = []
        self._standing = Standing()  # when it was last looked

    async def __aenter__(self) -> Self:
        """Run the handlers."""
        _check_loop()
        self._subscriptions = self.app.subscriptions
        self.faults.check(has_broker=self.app.broker_url is not None)
        kind = self._kind()
        try:
            self._stage = await Stage.set(self.app, self.clock, self.faults, kind, self._stack)
            self._words = self._stage.words
            await self._stack.enter_async_context(self.app.running())
            await self._stage.attend()
            await self._schedule()
        except BaseException as error:
            await self._stack.aclose()
            if isinstance(error, ConfigurationError) and kind == "memory":
                error.add_note("In a test, TestApp(app, log='sqlite') gives the application a log with SQL.")
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        __tracebackhide__ = True
        if error is not None:
            self.app.drain = 0.0  # the test has failed: nobody wants to wait for what its handlers wait for
            if self.faults.is_any:
                error.add_note(f"this was with {self.faults!r}")
        try:
            await self._refresh()
        finally:
            await self._stack.aclose()
        unexpected = [one for one in self.dead if (one.group, one.event.id) not in self._expected_dead]
        if error is None and self._raise_dead and unexpected:
            raise UnexpectedDeadLetters(unexpected)

    @property
    def published(self) -> Events:
        """All that was recorded since the start, by whomever; without a log, all that was handed to the broker."""
        return self._stage.history.events

    @property
    def relayed(self) -> Events:
        """What the application's broker was handed for other services, as of the last `settle`."""
        return self._stage.sent.events

    @property
    def handled(self) -> list[Handled]:
        """What was handled with success and is committed, or settled with the broker, in the order of the log."""
        return handled(self._stage.calls.settled(), self._stage.history_of)

    @property
    def dead(self) -> list[SetAside]:
        """The dead letters, as of the last `settle`; and the events at which groups have stopped."""
        return [one for one in self._aside_now if one.state == "dead"]

    @property
    def parked(self) -> list[SetAside]:
        """What waits to be tried again, or behind another event of its key, as of the last `settle`."""
        return [one for one in self._aside_now if one.state != "dead"]

    @property
    def held(self) -> list[Held]:
        """What flow control keeps from its handler, one entry an event, as of the last `settle` or `advance`."""
        return self._held_now

    async def publish(self, event: Any, data: Any = msgspec.UNSET, **attributes: Any) -> Event:
        """Publish as `app.publish` does; when a fault is injected, again with the same id, as one should.

        Raises:
            ContractError, InvalidEvent, InvalidName: it cannot be recorded as it is.
        """
        fixed = attributes if isinstance(event, Event) else {"id": new_id(), **attributes}
        for _ in range(_TRIES):
            try:
                return await self.app.publish(event, data, **fixed)
            except (InjectedFault, CommitUnknown):
                continue
        return await self.app.publish(event, data, **fixed)

    async def arrive(self, event: Any, data: Any = msgspec.UNSET, *, source: str = "elsewhere", **given: Any) -> Event:
        """Have the broker bring an event that the service named `source` has published.

        Raises:
            ConfigurationError: the application has no broker.
        """
        made = self._foreign(source).event(event, data=data, **given)
        await self._stage.bus_broker.publish([made])
        return made

    async def arrive_many(self, events: Sequence[Any], *, source: str = "elsewhere") -> list[Event]:
        """Have the broker bring several events together, in this order unless a fault changes it.

        Raises:
            ConfigurationError: the application has no broker.
        """
        outgoing = self._foreign(source)
        made = [outgoing.event(event) for event in events]
        await self._stage.bus_broker.publish(made)
        return made

    async def settle(self, timeout: float = 5.0) -> None:
        """Return when all that was caused is handled, parked for later or dead, and the relays are at the head too.

        While a `rate` or a waiting batch holds events back, and nothing else is to be done, it moves the clock to where
        they go on; what falls due on the way is done in its turn. What an open breaker keeps back is left, in `held`.
        It waits for what happens, and looks at nothing in between; `timeout` is in real seconds.

        Raises:
            NotSettled: it took longer; with which group is behind, at which event, and what is in hand.
        """

        async def until_released(standing: Standing) -> float | None:
            released = standing.wait(*PASSING)
            return None if released is None else _first(released, await self._stage.quiet.next_due())

        async with self._limit(timeout):
            while (wait := await self._still(timeout, until_released)) is not None:
                self.clock.advance(wait)
        await self._refresh()

    async def advance(self, seconds: float, *, timeout: float = 5.0) -> None:
        """Let `seconds` of the application's time go by, and no more: what falls due meanwhile is done in its turn.

        What flow control still holds back then is in `held`.

        Raises:
            NotSettled: what was to be done at one time was not done within `timeout` real seconds.
        """
        until = self.clock.monotonic() + seconds

        async def until_next(standing: Standing) -> float | None:
            left = until - self.clock.monotonic()
            return _first(left, standing.wait(*ANY_HOLD), await self._stage.quiet.next_due()) if left > 0 else None

        wait: float | None = 0.0
        while wait is not None:
            self.clock.advance(wait)
            async with self._limit(timeout):
                wait = await self._still(timeout, until_next)
        await self._refresh()

    def _kind(self) -> Literal["memory", "sqlite"] | None:
        """Which log it gets."""
        if self.app.log_url is not None:
            return self._log_kind or ("sqlite" if any(each.form.uses_tx for each in self._subscriptions) else "memory")
        if self._log_kind is not None:
            raise ConfigurationError(f"{self.app.name} has no log, and gets none in a test: leave log= out")
        return None

    async def _schedule(self) -> None:
        """What recurs waits for its time from the first moment, and not from when somebody comes to it."""
        if self.app.log_url is None:
            return
        now = int(self.clock.now() * 1e6)
        await self.app.log.ledger.timers.repeat(self.app.name, [each.first(now) for each in self.app.recurring])

    def _foreign(self, source: str) -> Outgoing:
        """Makes the events of another service, which speaks of the same contracts."""
        if not self._stage.has_broker:
            raise ConfigurationError(f"{self.app.name} has no broker, so nothing can arrive from it: use publish()")
        return Outgoing(source, self._stage.catalog, self.clock)

    @contextlib.asynccontextmanager
    async def _limit(self, timeout: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise NotSettled(timeout, await self._what_is_left()) from None

    async def _still(self, timeout: float, passes: Callable[[Standing], Awaitable[float | None]]) -> float | None:
        """Return when nothing is left to do at this time: how far time is to go on, as `passes` says; None: not at all.

        Then all is committed, too, which a short wait of flow control alone would not see to.
        """
        activity, quiet = self._stage.activity, self._stage.quiet
        ear = activity.listen()
        try:
            self._stage.ring()
            while True:
                count = activity.count
                standing = self._standing = await quiet.look()
                if activity.count != count:
                    continue  # something was done while it looked
                if standing.is_quiet:
                    wait = await passes(standing)
                    if wait is not None or standing.is_settled:
                        return wait
                await ear.wait(timeout)
        finally:
            activity.forget(ear)

    async def _what_is_left(self) -> list[str]:
        standing, health = await self._stage.quiet.look(), await self.app.health()
        await self._stage.history.catch_up()
        return [*standing.lines(self._stage.history_of), *(f"in trouble: {each}" for each in health.troubles)]

    async def _refresh(self) -> None:
        """Know what is set aside, and all that was recorded."""
        await self._stage.history.catch_up()
        await self._stage.sent.catch_up()
        self._aside_now = await self._stage.set_aside()
        self._held_now = await self._stage.quiet.held(self._standing)


def _first(*waits: float | None) -> float:
    return min(wait for wait in waits if wait is not None)


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError as error:
        told = "tidings runs on asyncio, and this test does not: with anyio, have anyio_backend return 'asyncio'"
        raise ConfigurationError(told) from error
