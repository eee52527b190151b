"""`Faults`: what goes wrong between an application and its log or broker, and for which events; a seed repeats it."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from tidings.errors import BrokerError, ConfigurationError, LogError
from tidings.events import Event, Pattern, contract_of

Kind = Literal["drop", "duplicate", "delay", "reorder", "fail_before", "fail_after"]
OF_A_BROKER: tuple[Kind, ...] = ("drop", "delay", "reorder")  # a log loses nothing and keeps its order


class InjectedFault(LogError, BrokerError):
    """A log or broker failed because the test wants it to: worth another try, as its real likeness is."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} (a fault injected by the test): try again with the same id")


class Nth(msgspec.Struct, frozen=True):
    """The `number`th event, counted from 1, of all or of a class, name or pattern."""

    number: int
    of: type | str = "**"


Which = float | bool | str | type | Nth | Callable[[Event], bool]


class Met(msgspec.Struct, frozen=True):
    """One fault that was injected: its kind, the event, and where: a group's name, "log" or "broker"."""

    kind: Kind
    where: str
    event: Event


class Faults:
    """Each fault is for some events: a share of them (0.2), `True`, an `@event` class, a name or pattern, an `Nth`, or
    a function of the event. An event meets a fault once in each place, so that everything comes to its end.

    On a log:
    `duplicate`    the handler's work is done and then lost, as if its process had been taken for dead: the events of
                   that batch are handed to it again. Its `tx`, returned events and cursor were not committed
    `fail_before`  an append or a settlement fails, and nothing was written
    `fail_after`   it was written, and the answer is lost: `CommitUnknown`

    On a broker, which needs an application that has one:
    `drop`         what arrives is lost on the way, and handed over again after what came with it
    `duplicate`    it is handed over, and then once more
    `delay`        it is handed over when the clock was moved by `delay_by` seconds
    `reorder`      it changes places with others that arrive together, whatever their keys
    `fail_before`  publishing fails, and nothing was taken
    `fail_after`   it was taken, and publishing fails

    `met` lists what was injected. `seed` repeats the choices of shares and places; it is told with every failure.
    """

    def __init__(
        self,
        *,
        drop: Which = 0.0,
        duplicate: Which = 0.0,
        delay: Which = 0.0,
        reorder: Which = 0.0,
        fail_before: Which = 0.0,
        fail_after: Which = 0.0,
        delay_by: float = 30.0,
        seed: int | None = None,
    ) -> None:
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.delay_by = delay_by
        self.met: list[Met] = []
        self.readable: Callable[[Event], Event] = _as_it_is  # the test application's: data as handlers see it
        self._which: dict[Kind, Which] = {
            "drop": drop,
            "duplicate": duplicate,
            "delay": delay,
            "reorder": reorder,
            "fail_before": fail_before,
            "fail_after": fail_after,
        }
        self._asked: set[tuple[Kind, str, str, str]] = set()
        self._counts: Counter[tuple[Kind, str]] = Counter()
        self._chooses = {kind: _chooser(which) for kind, which in self._which.items()}

    @property
    def is_any(self) -> bool:
        """Can anything go wrong?"""
        return any(map(bool, self._which.values()))

    def check(self, *, has_broker: bool) -> None:
        """Can all of these happen to an application?

        Raises:
            ConfigurationError: one of them is a broker's, and there is none.
        """
        for kind in OF_A_BROKER:
            if self._which[kind] and not has_broker:
                raise ConfigurationError(
                    f"Faults({kind}=...) is a broker's, and the application has none: a log loses nothing and keeps its"
                    " order; use duplicate, fail_before or fail_after"
                )

    def among(self, kind: Kind, events: Iterable[Event], where: str) -> list[Event]:
        """Those of `events` that meet this fault now, in this place."""
        return [event for event in events if self._strikes(kind, event, where)]

    def shuffled(self, events: Sequence[Event], where: str) -> list[Event]:
        """The events with those that are to be out of order in each other's places."""
        chosen = self.among("reorder", events, where)
        if len(chosen) < 2:  # it takes two to change places
            chosen = [*chosen, *[event for event in events if event not in chosen][:1]] if chosen else []
        places = [index for index, event in enumerate(events) if event in chosen]
        moved = [events[index] for index in places]
        self._chance("reorder", where).shuffle(moved)
        if places and moved == [events[index] for index in places]:
            moved = [*moved[1:], moved[0]]
        result = list(events)
        for index, event in zip(places, moved, strict=True):
            result[index] = event
        return result

    def __repr__(self) -> str:
        given = [f"{kind}={which!r}" for kind, which in self._which.items() if which]
        return f"Faults({', '.join([*given, f'seed={self.seed}'])})"

    def _strikes(self, kind: Kind, event: Event, where: str) -> bool:
        key = (kind, where, event.source, event.id)
        if not self._which[kind] or key in self._asked:
            return False
        self._asked.add(key)
        shown = self.readable(event)
        strikes = self._chooses[kind](shown, where, self._chance(kind, where))
        if strikes:
            self.met.append(Met(kind, where, shown))
        return strikes

    def _chance(self, kind: Kind, where: str) -> random.Random:
        """Chance of its own for each question, so that what happens elsewhere meanwhile changes nothing here."""
        self._counts[kind, where] += 1
        return random.Random(f"{self.seed} {kind} {where} {self._counts[kind, where]}")


_Chooser = Callable[[Event, str, random.Random], bool]


def _as_it_is(event: Event) -> Event:
    return event


def _chooser(which: Which) -> _Chooser:
    if isinstance(which, Nth):
        return _counting(which)
    if isinstance(which, str | type):
        pattern = _pattern(which)
        return lambda event, where, chance: pattern.matches(event.type)
    if callable(which):
        return lambda event, where, chance: bool(which(event))
    if not 0 <= which <= 1:
        raise ConfigurationError(f"{which} is no share of the events: give a number from 0 to 1")
    return lambda event, where, chance: chance.random() < which


def _counting(nth: Nth) -> _Chooser:
    pattern, seen = _pattern(nth.of), Counter[str]()

    def choose(event: Event, where: str, chance: random.Random) -> bool:
        if not pattern.matches(event.type):
            return False
        seen[where] += 1
        return seen[where] == nth.number

    return choose


def _pattern(which: Any) -> Pattern:
    contract = None if isinstance(which, str) else contract_of(which)
    if contract is None and not isinstance(which, str):
        raise ConfigurationError(f"{which.__name__} is no @event class: name the events of a fault")
    return Pattern(which if contract is None else contract.name)
