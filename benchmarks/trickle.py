"""An event now and then: does any of them wait for company that does not come?"""

from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.latency import measure


def tidings(place: Place) -> Samples:
    """8 events a second."""
    return measure(place, 1 / 8)


QUESTION = Question(
    contenders={"tidings": tidings},
    rows=[
        Row("a slow trickle, 8/s, p50", figure="latency", unit="ms"),
        Row("the same, p99", figure="latency", quantile=0.99, unit="ms", at_most=10),
    ],
    size=50,
    quick_size=8,
)
