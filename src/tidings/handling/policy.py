"""What happens when a handler fails: rules by exception, declared where the handler is, and printable.

A failure is first tried again at once, a few times within a third of a second, because most failures are hiccups. Then
the event is parked and tried again later, each time after a longer wait. When its attempts are used up it is dead.
"""

import random
from collections.abc import Sequence
from typing import Literal

import msgspec

from tidings.errors import (
    ConfigurationError,
    Conflict,
    ContractError,
    EventRefused,
    InvalidEvent,
    InvalidName,
    NewerVersion,
    Reject,
    TransactionMisuse,
)
from tidings.handling.flow.settings import FREE, FlowControl

_INLINE_WAITS = (0.02, 0.08, 0.2)  # seconds; 3 tries in 0.3 s at most
_FOREVER = 10**9


class Retry(msgspec.Struct, frozen=True):
    """One rule: for the exceptions `on`, how often and after what waits an event is tried again.

    `attempts` counts every call of the handler; 1 means that the first failure is final. Up to `inline` of the repeats
    happen at once. Later waits start at `wait` seconds, grow by `factor` up to `longest`, and are lengthened, never
    shortened, by up to `jitter` of themselves, so that what failed together does not come back together.
    """

    on: type[BaseException] | tuple[type[BaseException], ...] = Exception
    attempts: int = 10
    inline: int = 3
    wait: float = 1.0
    factor: float = 2.0
    longest: float = 300.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.inline <= len(_INLINE_WAITS):
            raise ConfigurationError(f"{self} cannot be kept: attempts start at 1, inline is 0 to {len(_INLINE_WAITS)}")
        if self.wait < 0 or self.factor < 1 or self.jitter < 0:
            raise ConfigurationError(f"{self} cannot be kept: wait and jitter are 0 or more, factor is 1 or more")

    @classmethod
    def never(cls, *on: type[BaseException]) -> "Retry":
        """The rule for exceptions that no repeat will cure: a dead letter at once."""
        return cls(on=on or Exception, attempts=1, inline=0)

    def covers(self, error: BaseException) -> bool:
        """Does this rule speak of `error`?"""
        return isinstance(error, self.on)

    def names(self, kind: type[BaseException]) -> bool:
        """Is the exception's own type in this rule, and not only one it derives from?"""
        return kind in (self.on if isinstance(self.on, tuple) else (self.on,))

    def delay(self, attempts: int, chance: float, *, inline: bool = True) -> float:
        """Seconds to wait after `attempts` calls have failed; `chance` between 0 and 1 draws the jitter.

        `inline` says whether the first repeats were made on the spot.
        """
        parked_before = max(attempts - 1 - (self.inline if inline else 0), 0)
        wait = min(self.wait * self.factor ** min(parked_before, 64), self.longest)
        return wait * (1 + self.jitter * chance)


_NEWER = Retry(on=NewerVersion, inline=0, wait=10.0)  # until this process is upgraded: never dead
_CONFLICT = Retry(on=Conflict, attempts=_FOREVER, wait=0.05, longest=5.0)
_FINAL = Retry.never(Reject, ConfigurationError, EventRefused)  # the second: it returned or published what is no event
_MISTAKES = Retry.never(
    ContractError, InvalidEvent, InvalidName, TransactionMisuse
)  # the next call would make them too
DEFAULT = Retry()


class Policy(msgspec.Struct, frozen=True):
    """How a subscription handles: its retry rules (the first that covers an exception counts), limits and order."""

    retry: tuple[Retry, ...] = ()
    timeout: float | None = 60.0  # seconds for one call; noticed at most a quarter of it later
    concurrency: int = 1  # keys handled at a time by one process
    on_dead: Literal["block", "pass"] = "block"  # do later events of a key wait behind a dead one?
    blocked_limit: int = 10_000  # events waiting behind others; then the group pauses and says so
    flow: FlowControl = FREE  # how fast and how many at a time, and which not at all
    on_exhausted: Literal["dead", "stop", "drop"] = "dead"  # what a group does that hears a broker itself
    needs_log: tuple[str, ...] = ()  # what was asked for of these, and means nothing to such a group

    def rule(self, error: BaseException) -> Retry:
        """The rule for `error`."""
        rules = (_FINAL, *self.retry, _MISTAKES)
        if isinstance(error, Conflict):  # a race lost, not a failure: a rule for any failure does not mean it
            rules = (*(rule for rule in self.retry if rule.names(Conflict)), _CONFLICT)
        return next((rule for rule in rules if rule.covers(error)), DEFAULT)

    def inline_wait(self, error: BaseException, attempts: int) -> float | None:
        """Seconds until the next try on the spot, after `attempts` calls; None when the event is to be set aside."""
        rule = self.rule(error)
        if attempts > rule.inline or attempts >= rule.attempts:
            return None
        return _INLINE_WAITS[attempts - 1]

    def verdict(self, error: BaseException, attempts: int, *, inline: bool = True) -> float | None:
        """Seconds until the event is tried again, or None when it is dead."""
        rule = self.rule(error)
        return None if attempts >= rule.attempts else rule.delay(attempts, random.random(), inline=inline)

    def until_readable(self, error: BaseException, attempts: int) -> float | None:
        """Seconds until an event that could not be decoded is tried again; None when it never will be decodable."""
        return _NEWER.delay(attempts, random.random()) if isinstance(error, NewerVersion) else None


def policy(
    *,
    retry: Retry | Sequence[Retry] = (),
    timeout: float | None = 60.0,
    concurrency: int = 1,
    on_dead: Literal["block", "pass"] | None = None,
    blocked_limit: int | None = None,
    flow: FlowControl = FREE,
    on_exhausted: Literal["dead", "stop", "drop"] = "dead",
) -> Policy:
    """A policy, checked; what is None is as `Policy` has it.

    Raises:
        ConfigurationError: a setting cannot be kept.
    """
    rules = (retry,) if isinstance(retry, Retry) else tuple(retry)
    if concurrency < 1:
        raise ConfigurationError(f"concurrency={concurrency} handles nothing: use 1 or more")
    if timeout is not None and timeout <= 0:
        raise ConfigurationError(f"timeout={timeout} leaves no time: use seconds above 0, or None for no limit")
    if on_dead not in ("block", "pass", None):
        raise ConfigurationError(f"on_dead={on_dead!r} is unknown: use 'block' or 'pass'")
    if on_exhausted not in ("dead", "stop", "drop"):
        raise ConfigurationError(f"on_exhausted={on_exhausted!r} is unknown: use 'dead', 'stop' or 'drop'")
    needs_log = ("on_dead='block'",) if on_dead == "block" else ()
    made = Policy(rules, timeout, concurrency, on_dead or "block", flow=flow, on_exhausted=on_exhausted)
    if blocked_limit is None:
        return msgspec.structs.replace(made, needs_log=needs_log)
    return msgspec.structs.replace(made, blocked_limit=blocked_limit, needs_log=(*needs_log, "blocked_limit"))
