"""What a test may claim of an application, and what it is told when that is not so."""

import abc
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tidings.errors import ConfigurationError
from tidings.events import Event
from tidings.handling.subscription import Subscription
from tidings.testing.events import Events
from tidings.testing.outcomes import Handled, Held, SetAside
from tidings.testing.showing import show_event
from tidings.testing.wanted import Wanted, Words

_SHOWN = 20  # lines of a list; the latest are shown
_NEAR = 0.3  # how much of what was looked for the nearest event must have, to be worth a line


class Assertions(abc.ABC):
    """Claims about what is published, handled, and dead; each fails with what there was instead.

    What is looked for is a value (`OrderCreated(7)`), or a class, name or pattern with any fields given by name
    (`OrderCreated, order_id=7`). A group is named by its handler, too.
    """

    _words: Words
    _subscriptions: Sequence[Subscription]
    _expected_dead: set[tuple[str, str]]

    @property
    @abc.abstractmethod
    def published(self) -> Events:
        """All that was recorded."""

    @property
    @abc.abstractmethod
    def handled(self) -> Sequence[Handled]:
        """What was handled with success."""

    @property
    @abc.abstractmethod
    def dead(self) -> Sequence[SetAside]:
        """The dead letters."""

    @property
    @abc.abstractmethod
    def parked(self) -> Sequence[SetAside]:
        """What waits."""

    @property
    @abc.abstractmethod
    def held(self) -> Sequence[Held]:
        """What flow control keeps back."""

    def assert_published(self, expected: Any, *, times: int | None = None, **fields: Any) -> Event:
        """It was published, `times` times if that is given; returns the first such event.

        Raises:
            AssertionError: it was not; with what was published instead, and where the nearest differs.
        """
        __tracebackhide__ = True
        wanted = self._words.wanted(expected, fields)
        found = [event for event in self.published if wanted.fits(event)]
        if not found if times is None else len(found) != times:
            count = "" if times is None else f" {times} times, and was {len(found)} times"
            raise AssertionError(f"expected to be published{count}:\n  {wanted}\n{self._instead(wanted)}")
        return found[0] if found else _NOTHING

    def assert_not_published(self, unexpected: Any, **fields: Any) -> None:
        """It was not published.

        Raises:
            AssertionError: it was; with what led to it.
        """
        __tracebackhide__ = True
        wanted = self._words.wanted(unexpected, fields)
        found = [event for event in self.published if wanted.fits(event)]
        if found:
            told = "\n".join(f"  {show_event(event)}{self._cause(event)}" for event in found)
            raise AssertionError(f"expected not to be published:\n  {wanted}\nit was:\n{told}")

    def assert_handled(
        self,
        expected: Any,
        *,
        group: str | Callable[..., Any] | None = None,
        attempts: int | None = None,
        **fields: Any,
    ) -> Handled:
        """It was handled with success, by that group and at that attempt if they are given.

        Raises:
            AssertionError: it was not; with what was handled, and what has become of the event.
        """
        __tracebackhide__ = True
        wanted, name = self._words.wanted(expected, fields), self._group(group)
        for each in self.handled:
            if name in (None, each.group) and attempts in (None, each.attempts) and wanted.fits(each.event):
                return each
        by = f" by {name}" if name else ""
        at = f" at attempt {attempts}" if attempts else ""
        told = _listed("handled instead", map(str, self.handled))
        raise AssertionError(f"expected to be handled{by}{at}:\n  {wanted}\n{told}{self._aside()}")

    def assert_dead(
        self, expected: Any, *, group: str | Callable[..., Any] | None = None, reason: str = "", **fields: Any
    ) -> SetAside:
        """It is a dead letter, for a reason that has this text in it; the end of the test takes it as expected.

        Raises:
            AssertionError: it is not; with the dead letters there are.
        """
        __tracebackhide__ = True
        wanted, name = self._words.wanted(expected, fields), self._group(group)
        fits = [
            one for one in self.dead if name in (None, one.group) and reason in one.reason and wanted.fits(one.event)
        ]
        if not fits:
            of, why = f" of {name}" if name else "", f" because of {reason!r}" if reason else ""
            told = _listed("handled", map(str, self.handled))
            raise AssertionError(f"expected as a dead letter{of}{why}:\n  {wanted}\n{told}{self._aside()}")
        self._expected_dead.update((one.group, one.event.id) for one in fits)
        return fits[0]

    def _group(self, group: str | Callable[..., Any] | None) -> str | None:
        if group is None or isinstance(group, str):
            return group
        for each in self._subscriptions:
            if each.form.handler is group:
                return each.name
        raise ConfigurationError(f"{getattr(group, '__name__', group)} handles nothing here: give a handler or a group")

    def _instead(self, wanted: Wanted) -> str:
        nearest = max(self.published, key=wanted.nearness, default=None)
        if nearest is not None and wanted.nearness(nearest) < _NEAR:
            nearest = None
        lines = [f"{show_event(each)}{'  <- nearest' if each is nearest else ''}" for each in self.published]
        told = _listed("published instead", lines)
        if nearest is not None and (differs := wanted.differences(nearest)):
            told += "\nthe nearest differs:" + "".join(f"\n  {line}" for line in differs)
        return told + self._aside()

    def _aside(self) -> str:
        told = ""
        if self.dead:
            told += "\n" + _listed("dead letters", map(str, self.dead))
        if self.parked:
            told += "\n" + _listed("set aside", map(str, self.parked))
        if self.held:
            told += "\n" + _listed("held back", map(str, self.held))
        return told

    def _cause(self, event: Event) -> str:
        cause = next((each for each in self.published if each.id == event.causation_id), None)
        return "" if cause is None else f"\n    caused by {show_event(cause)}"


_NOTHING: Any = None  # what `times=0` finds


def _listed(title: str, lines: Iterable[str]) -> str:
    every = list(lines)
    if not every:
        return f"{title}: nothing"
    shown = every[-_SHOWN:]
    more = f", the last {len(shown)}" if len(shown) < len(every) else ""
    return f"{title} ({len(every)}{more}):" + "".join(f"\n  {line}" for line in shown)
