"""The same where a flush costs nothing: what does the library itself cost, whatever the disk?

A slow flush makes all contenders of `append_one` alike. This is the other end; a disk's answer lies between the two.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import append_one
from benchmarks.harness import Measure, Place, Question, Row, Samples, in_memory


def _unflushed(contender: Measure, place: Place) -> Samples:
    with TemporaryDirectory(prefix="tidings-bench-", dir=in_memory()) as folder:
        return contender(replace(place, fresh=Path(folder)))


QUESTION = Question(
    contenders={
        "app.sync": partial(_unflushed, append_one.tidings_sync),
        "sqlite3": partial(_unflushed, append_one.sqlite),
        "eventsourcing": partial(_unflushed, append_one.eventsourcing),
    },
    rows=[
        Row("… where a flush costs nothing (tmpfs)", of="app.sync", against="sqlite3"),
        Row("… the same", of="app.sync", against="eventsourcing", at_least=1.4),
    ],
    size=3000,
    quick_size=100,
    rounds=15,
    left_out=None if in_memory() else "there is no /dev/shm",
)
