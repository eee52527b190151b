"""Ten groups in one process read the same log: is it fetched and decoded once for all of them?"""

import asyncio

from benchmarks.catch_up import catch_up, prepare, scan
from benchmarks.harness import Place, Question, Row, Samples

GROUPS = 10


def tidings(place: Place) -> Samples:
    """Ten groups, each with its own policy, lanes, cursor and settlements."""
    return {"rate": [asyncio.run(catch_up(place, GROUPS))]}


def sqlite(place: Place) -> Samples:
    """One scan, one decode, ten bare awaits."""
    return {"rate": [asyncio.run(scan(place, GROUPS))]}


QUESTION = Question(
    contenders={"tidings": tidings, "one scan, ten awaits": sqlite},
    rows=[Row("catch-up, 10 groups in one process", against="one scan, ten awaits", at_least=0.3)],
    size=200_000,
    quick_size=5000,
    prepare=prepare,
)
