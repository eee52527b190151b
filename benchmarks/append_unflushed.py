"""The same where a flush costs nothing: what does the library itself cost, whatever the disk?

A slow flush makes all contenders of `append_one` alike. This is the other end; a disk's answer lies between the two.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import append_one
from benchmarks.harness import Measure, Place, Question, Row, Samples, memory


def _in_memory(contender: Measure, place: Place) -> Samples:
    with TemporaryDirectory(prefix="tidings-bench-", dir=memory()) as folder:
        return contender(replace(place, fresh=Path(folder)))


def _contender(measure: Measure) -> Callable[[Place], Samples]:
    return partial(_in_memory, measure)


QUESTION = Question(
    contenders={
        "app.sync": _contender(append_one.tidings_sync),
        "sqlite3": _contender(append_one.sqlite),
        "eventsourcing": _contender(append_one.eventsourcing),
    },
    rows=[
        Row("… where a flush costs nothing (tmpfs)", of="app.sync", against="sqlite3"),
        Row("… the same", of="app.sync", against="eventsourcing", at_least=1.4),
    ],
    size=3000,
    quick_size=100,
    rounds=15,
)
