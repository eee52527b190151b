"""A circuit that opens when calls keep failing: the machine in a group's breaker and in a `CircuitBreaker`."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from tidings.clock import Clock, SystemClock
from tidings.events import new_id
from tidings.handling.flow.settings import Breaker
from tidings.handling.report import say

_TRIAL = 1.0  # seconds between looks while somebody else's trial is under way

State = Literal["closed", "open", "half-open"]


class Change(msgspec.Struct, frozen=True):
    """A circuit has opened or closed."""

    name: str
    group: str | None  # whose handler was the last to fail, or the first to succeed
    is_open: bool
    failures: int
    until: float  # seconds since 1970, of the next trial
    id: str  # of the event that tells of it


class Circuit:
    """Counts failures, refuses calls while it is open, and lets one try when its time is over; from any thread.

    Who calls says who it is (`caller`), so that only the trial's own end decides, and not that of a call begun before.
    """

    def __init__(self, name: str, breaker: Breaker, *, clock: Clock | None = None) -> None:
        self.name = name
        self.clock: Clock = clock or SystemClock()
        self.on_change: list[Callable[[Change], None]] = []
        self.on_look: list[Callable[[], None]] = []  # told whenever calls are refused or allowed again
        self._breaker = breaker
        self._failed: deque[float] = deque(maxlen=breaker.failures)  # when, the last ones
        self._opened: float | None = None  # monotonic
        self._until = 0.0
        self._trial: Any = None  # the caller whose call decides
        self._tried_at = 0.0  # monotonic
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """`half-open` from the moment a trial may be made."""
        if self._opened is None:
            return "closed"
        return "open" if self._left() > 0 else "half-open"

    @property
    def is_closed(self) -> bool:
        """May anybody call?"""
        return self._opened is None

    @property
    def until(self) -> float | None:
        """When the next call may be tried, in seconds since 1970 by the clock as it is set now; None while closed."""
        return None if self._opened is None else self.clock.now() + self.wait()

    @property
    def trouble(self) -> str:
        """Why calls are not made; nothing while they are."""
        until = self.until
        if until is None:
            return ""
        moment = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        return f"the breaker {self.name} is {self.state}, as calls kept failing: the next trial is at {moment}"

    def wait(self) -> float:
        """Seconds until a call may be made or tried."""
        with self._lock:
            if self._opened is None:
                return 0.0
            if self._is_tried:
                return min(_TRIAL, self._breaker.open_for)
            return self._left()

    def enter(self, caller: Any) -> bool:
        """May `caller` call now? When the circuit's time is over, the first who asks makes the trial."""
        with self._lock:
            if self._opened is None or self._trial == caller:
                return True
            if self._is_tried or self._left() > 0:
                return False
            self._trial, self._tried_at = caller, self.clock.monotonic()
            return True

    @property
    def _is_tried(self) -> bool:
        """Is a trial under way? One that has not ended for long hangs, and shall not keep all others waiting."""
        return self._trial is not None and self.clock.monotonic() < self._tried_at + self._breaker.open_for

    def leave(self, caller: Any) -> None:
        """The call ended without saying anything: when it was the trial, another is to be made."""
        with self._lock:
            if self._trial != caller:
                return
            self._trial = None
        self._look()

    def failed(self, caller: Any, *, group: str | None = None) -> None:
        """A call has failed."""
        with self._lock:
            now = self.clock.monotonic()
            is_trial = self._trial is not None and self._trial == caller
            if self._opened is not None and not is_trial:
                return  # a call begun before, whose failure is no news
            self._failed.append(now)
            if not is_trial and not self._is_too_much(now):
                return
            self._open(now)
            change = self._change(group, is_open=True)
        self._say("breaker opened" if not is_trial else "breaker stays open", change)
        self._look()
        if not is_trial:  # one outage is told once
            self._tell(change)

    def succeeded(self, caller: Any, *, group: str | None = None) -> None:
        """A call has succeeded."""
        if self._opened is None:
            return
        with self._lock:
            if self._trial != caller or self._opened is None:
                return
            change = self._change(group, is_open=False)
            self._trial = self._opened = None
            self._failed.clear()
        self._say("breaker closed", change)
        self._look()
        self._tell(change)

    def _is_too_much(self, now: float) -> bool:
        failed = self._failed
        return len(failed) == self._breaker.failures and failed[0] + self._breaker.within >= now

    def _open(self, now: float) -> None:
        self._opened, self._until, self._trial = now, self.clock.now() + self._breaker.open_for, None

    def _change(self, group: str | None, *, is_open: bool) -> Change:
        return Change(self.name, group, is_open, len(self._failed), self._until, new_id())

    def _left(self) -> float:
        opened = self._opened
        return 0.0 if opened is None else max(opened + self._breaker.open_for - self.clock.monotonic(), 0.0)

    def _look(self) -> None:
        for each in self.on_look:
            each()

    def _tell(self, change: Change) -> None:
        for each in self.on_change:
            each(change)

    def _say(self, what: str, change: Change) -> None:
        level = logging.WARNING if change.is_open else logging.INFO
        say(level, what, breaker=self.name, group=change.group, failures=change.failures, until=change.until)
