"""What all questions share: contenders run in turn, each round in a process of its own, on a disk.

A fresh process a round keeps memory, caches and imports of one contender from helping or hurting the next; running them
A B A B lets the machine's drift meet both alike.
"""

import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Literal

Samples = Mapping[str, Sequence[float]]  # figure -> what one round measured: one rate, or many latencies
Unit = Literal["/s", "ms", "%", "MiB"]

ROUNDS = 5
_LONGEST_ROUND = 300  # seconds; a hang is a failed run, not an endless one


@dataclass(frozen=True, slots=True)
class Place:
    """Where one round works: a folder of its own, the one prepared for all rounds, and how much there is to do."""

    fresh: Path
    prepared: Path
    size: int


Measure = Callable[[Place], Samples]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure of one contender, alone or against another, and what it should come to."""

    asks: str
    of: str = "tidings"
    figure: str = "rate"
    quantile: float = 0.5
    against: str | None = None  # a contender; None: the goal is for the figure itself
    against_figure: str | None = None  # where it is called otherwise
    at_least: float | None = None
    at_most: float | None = None
    unit: Unit = "/s"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of whom, and how large it is; `prepare` makes what every round reads."""

    contenders: Mapping[str, Measure]
    rows: Sequence[Row]
    size: int
    quick_size: int
    prepare: Callable[[Place], None] | None = None
    rounds: int = ROUNDS
    together: bool = False  # all rounds at once: for contenders that do next to nothing, for long
    left_out: str | None = None  # why it cannot be asked on this machine


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over all rounds: the quantile of everything measured, and of the best and the worst round."""

    value: float
    least: float
    most: float


@dataclass(slots=True)
class Answer:
    """What every contender's rounds measured, and how busy other programs kept the machine meanwhile, in cores."""

    rounds: dict[str, list[Samples]] = field(default_factory=dict)
    foreign: float = 0.0

    def figure(self, contender: str, name: str, quantile: float) -> Figure:
        """One figure of one contender."""
        samples = [round[name] for round in self.rounds[contender]]
        each = [_quantile(one, quantile) for one in samples]
        return Figure(_quantile([value for one in samples for value in one], quantile), min(each), max(each))


def ask(question: Question, *, size: int, rounds: int) -> Answer:
    """Run all contenders of a question in turn."""
    answer = Answer({name: [] for name in question.contenders})
    with tempfile.TemporaryDirectory(prefix="tidings-bench-", dir=disk()) as folder, _foreign_cpu(answer):
        prepared = Path(folder, "prepared")
        prepared.mkdir()
        if question.prepare is not None:
            _run([(question.prepare, Place(prepared, prepared, size))])
        turns = [
            (name, measure, Place(Path(folder, f"{number}-{name}"), prepared, size))
            for number in range(rounds)
            for name, measure in question.contenders.items()
        ]
        for group in [turns] if question.together else [[turn] for turn in turns]:
            _take_turns(group, answer)
    return answer


def disk() -> str:
    """A folder that is not in memory: what is flushed there is flushed."""
    folders = [tempfile.gettempdir(), "/var/tmp", str(Path.cwd())]
    return next((folder for folder in folders if _filesystem(folder) not in ("tmpfs", "ramfs")), folders[0])


def in_memory() -> str | None:
    """A folder that is in memory, where a flush costs nothing; None where the system has none."""
    return "/dev/shm" if _filesystem("/dev/shm") == "tmpfs" else None


def partner(function: Callable[..., None], *arguments: object) -> multiprocessing.Process:
    """A second process of the same round, started; it ends by itself when the round takes far too long."""
    process = multiprocessing.get_context("spawn").Process(target=_in_time, args=(function, *arguments))
    process.start()
    return process


def stay_on_one_core() -> None:
    """Keep this process, which has one thread at work, where it is, as the system would on an idle machine.

    On a virtual machine the disk's answer comes to one core, and who is moved to another one meanwhile pays for it: the
    same contender came out 3,200 and 4,300 a second by that luck alone.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _take_turns(turns: Sequence[tuple[str, Measure, Place]], answer: Answer) -> None:
    for _, _, place in turns:
        place.fresh.mkdir()
    os.sync()  # what the round before left in the cache is not this one's to write
    results = _run([(measure, place) for _, measure, place in turns])
    for (name, _, _), samples in zip(turns, results, strict=True):
        answer.rounds[name].append(samples)


def _run(calls: Sequence[tuple[Callable[[Place], object], Place]]) -> list:
    """Make these calls at once, each in a new process."""
    with ProcessPoolExecutor(len(calls), multiprocessing.get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(_in_time, call, place) for call, place in calls]]


def _in_time(call: Callable[..., object], *arguments: object) -> object:
    signal.alarm(_LONGEST_ROUND)
    return call(*arguments)


def _quantile(samples: Sequence[float], quantile: float) -> float:
    """The sample at or above which `quantile` of them end; the usual median for one half."""
    if quantile == 0.5:
        return statistics.median(samples)
    return sorted(samples)[min(int(len(samples) * quantile), len(samples) - 1)]


@contextmanager
def _foreign_cpu(answer: Answer) -> Iterator[None]:
    """How many cores programs that are not ours (and the kernel's own writing back) kept busy."""
    began, busy, own = monotonic(), _busy(), _own()
    yield
    answer.foreign = max((_busy() - busy) - (_own() - own), 0.0) / (monotonic() - began)


def _busy() -> float:
    """Seconds all cores together have worked; 0 where the system does not tell."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _filesystem(folder: str) -> str:
    try:
        return subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout.strip()
    except OSError:
        return "unknown"
