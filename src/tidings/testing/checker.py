"""The oracle of crash tests: what was tried, acknowledged and seen, and what of it cannot be.

A `History` in memory serves one test; one with a path writes a line a fact, so that what a killed process knew is not
lost with it. Give every process a path of its own, and every restart if you like; `History.read` puts them together.

    history = History(path)
    history.attempted("id-1", key="customer-7", sequence=1)   # before publishing
    history.acknowledged("id-1")                              # after publishing has returned
    history.delivered("billing", "id-1", key="customer-7", sequence=1)
    history.settled("billing", "id-1")                        # after its settlement has returned

    report = check(History.read(*paths), groups=["billing"])
    assert report.is_clean, report
"""

import fcntl
import itertools
import os
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

_SHOWN = 5


class Fact(msgspec.Struct, array_like=True, frozen=True):
    """One line of a history. The moment is the machine's monotonic clock, which its processes share."""

    what: Literal["begun", "attempted", "acknowledged", "delivered", "settled"]
    moment: int
    event_id: str = ""
    group: str = ""
    key: str | None = None
    sequence: int = 0  # rises with each event of the key


_decode = msgspec.json.Decoder(Fact).decode


class History:
    """Facts in the order they happened.

    Raises:
        ValueError: another history writes to `path` now. Who is killed may leave half a line, which the next fact of
            another process would be joined to.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.facts: list[Fact] = []
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            self._lock(path)
            self._note(Fact("begun", time.monotonic_ns()), b"\n")  # a new line, whatever an earlier life left torn

    def attempted(self, event_id: str, *, key: str | None = None, sequence: int = 0) -> None:
        """The event is about to be published."""
        self._note(Fact("attempted", time.monotonic_ns(), event_id, "", key, sequence))

    def acknowledged(self, event_id: str) -> None:
        """Publishing it has returned."""
        self._note(Fact("acknowledged", time.monotonic_ns(), event_id))

    def delivered(self, group: str, event_id: str, *, key: str | None = None, sequence: int = 0) -> None:
        """A handler of `group` has been called with it."""
        self._note(Fact("delivered", time.monotonic_ns(), event_id, group, key, sequence))

    def settled(self, group: str, event_id: str) -> None:
        """A settlement that answers for it has returned: `group` is never to see it again."""
        self._note(Fact("settled", time.monotonic_ns(), event_id, group))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @classmethod
    def read(cls, *paths: Path) -> Self:
        """One history out of the files of several processes, by the moments of their facts.

        A folder stands for the files in it. A line may be torn where its process was killed: at the end of a file, or
        before the next process began in it.

        Raises:
            ValueError: a line cannot be read although nobody was killed there.
        """
        history = cls()
        files = itertools.chain(*(path.iterdir() if path.is_dir() else [path] for path in paths))
        history.facts = sorted(itertools.chain(*map(_facts_in, files)), key=lambda fact: fact.moment)
        return history

    def _lock(self, path: Path) -> None:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ValueError(f"{path} is another history's now: give each process a path of its own") from None

    def _note(self, fact: Fact, before: bytes = b"") -> None:
        if self._file is None:
            self.facts.append(fact)
        else:
            os.write(self._file, before + msgspec.json.encode(fact) + b"\n")  # one write: whole, or the file's last


@dataclass(frozen=True, slots=True)
class Reordered:
    """`event_id` was first delivered after `after`, a later event of its key."""

    group: str
    key: str
    event_id: str
    after: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a history shows. By group, ids; at least once allows what is duplicated, and nothing else."""

    attempted: int = 0
    acknowledged: int = 0
    delivered: Mapping[str, int] = field(default_factory=dict)  # different events, by group
    lost: Mapping[str, list[str]] = field(default_factory=dict)  # acknowledged, and never delivered
    invented: Mapping[str, list[str]] = field(default_factory=dict)  # delivered, and never attempted
    resurrected: Mapping[str, list[str]] = field(default_factory=dict)  # delivered again after it was settled
    reordered: tuple[Reordered, ...] = ()
    duplicated: Mapping[str, int] = field(default_factory=dict)  # deliveries beyond the first, by group

    @property
    def is_clean(self) -> bool:
        """Is nothing lost, invented, reordered or resurrected?"""
        return not (self.lost or self.invented or self.reordered or self.resurrected)

    def __str__(self) -> str:
        faults = [
            *_described("lost", self.lost),
            *_described("invented", self.invented),
            *_described("resurrected", self.resurrected),
            *[f"reordered in {it.group}: {it.event_id} after {it.after} of {it.key}" for it in self.reordered[:_SHOWN]],
        ]
        counts = f"{self.attempted} attempted, {self.acknowledged} acknowledged"
        seen = [
            f"{group} saw {number} and {self.duplicated.get(group, 0)} repeats"
            for group, number in self.delivered.items()
        ]
        return "; ".join([counts, *seen, *(faults or ["nothing wrong"])])


def check(
    history: History, *, groups: Iterable[str] | None = None, may_return: Collection[str] = frozenset()
) -> Report:
    """What is wrong with `history`, once all groups have caught up.

    `groups` should each have seen every acknowledged event; without it, those that saw anything. Events that
    `may_return` are no ghosts after they were settled: an operator retried or replayed them.
    """
    attempted, acknowledged = set(), set()
    delivered: dict[str, list[Fact]] = {group: [] for group in groups or ()}
    settled: dict[tuple[str, str], int] = {}  # the first time
    for fact in history.facts:
        if fact.what == "attempted":
            attempted.add(fact.event_id)
        elif fact.what == "acknowledged":
            acknowledged.add(fact.event_id)
        elif fact.what == "delivered":
            delivered.setdefault(fact.group, []).append(fact)
        elif fact.what == "settled":
            settled.setdefault((fact.group, fact.event_id), fact.moment)
    seen = {group: {fact.event_id for fact in facts} for group, facts in delivered.items()}
    ghosts = {group: _ghosts(facts, settled) - set(may_return) for group, facts in delivered.items()}
    return Report(
        len(attempted),
        len(acknowledged),
        {group: len(ids) for group, ids in seen.items()},
        _those_with_any({group: acknowledged - ids for group, ids in seen.items()}),
        _those_with_any({group: ids - attempted for group, ids in seen.items()}),
        _those_with_any(ghosts),
        tuple(itertools.chain(*map(_reordered, delivered.values()))),
        Counter({group: len(facts) - len(seen[group]) for group, facts in delivered.items()}),
    )


def _ghosts(facts: Iterable[Fact], settled: Mapping[tuple[str, str], int]) -> set[str]:
    """Those delivered to a group although it had settled them."""
    return {fact.event_id for fact in facts if fact.moment > settled.get((fact.group, fact.event_id), fact.moment)}


def _reordered(facts: Iterable[Fact]) -> list[Reordered]:
    latest: dict[str, Fact] = {}  # by key, the furthest of those delivered so far
    known: dict[str, set[str]] = defaultdict(set)
    found = []
    for fact in facts:
        if fact.key is None or fact.event_id in known[fact.key]:
            continue  # it asks for no order, or comes again, which at least once allows
        known[fact.key].add(fact.event_id)
        before = latest.get(fact.key)
        if before is not None and fact.sequence < before.sequence:
            found.append(Reordered(fact.group, fact.key, fact.event_id, before.event_id))
        else:
            latest[fact.key] = fact
    return found


def _facts_in(path: Path) -> list[Fact]:
    lines = path.read_bytes().split(b"\n")
    facts: list[Fact] = []
    torn: int | None = None
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        fact = _fact(line)
        if torn is not None and (fact is None or fact.what != "begun"):
            raise ValueError(f"{path}: line {torn} cannot be read, and no process ended there")
        torn = number if fact is None else None
        if fact is not None and fact.what != "begun":
            facts.append(fact)
    if torn is not None and lines[-1] == b"":
        raise ValueError(f"{path}: the last line cannot be read although it was written to its end")
    return facts


def _fact(line: bytes) -> Fact | None:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return None


def _those_with_any(ids: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    return {group: sorted(found) for group, found in ids.items() if found}


def _described(fault: str, ids: Mapping[str, list[Any]]) -> list[str]:
    return [
        f"{len(found)} {fault} in {group}: {', '.join(found[:_SHOWN])}{' ...' * (len(found) > _SHOWN)}"
        for group, found in ids.items()
    ]
