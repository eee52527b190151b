"""What the doctor says of a broker that is a server, from what it saw of it."""

from typing import Any

import msgspec
import pytest

from tidings import App
from tidings.brokers import Difference, Standing
from tidings.doctor import carriers, gather
from tidings.doctor.carrier import Carrier, examined
from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding

URL = "redis://host"


def seen(**facts: Any) -> Facts:
    """Facts of a healthy machine on which this was seen of a broker."""
    return msgspec.structs.replace(gather(), carrier=Carrier(URL, ours=["shop"], **facts))


def only(found: "object") -> Finding:
    [finding] = list(found)  # type: ignore[call-overload]
    assert isinstance(finding, Finding)
    return finding


def test_one_that_does_not_answer() -> None:
    found = only(carriers.does_not_answer(seen(trouble="redis://host cannot be reached: refused")))

    assert (found.severity, found.subject) == ("error", "broker")
    assert "start it" in found.cure


def test_what_is_missing_and_what_differs() -> None:
    facts = seen(differences=[Difference("topic order", "missing"), Difference("topic stock", "differs", "8, not 4")])

    assert "'tidings setup' creates it" in only(carriers.lacks_something(facts)).cure
    assert only(carriers.differs(facts)).what == "topic stock is not as wanted: 8, not 4"


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [((5, 0), (5, 0), True), ((5, 1), (5, 1), False), ((0, 0), (0, 0), False), ((5, None), (5, None), False)],
)
def test_nobody_receives(before: tuple[int, int | None], after: tuple[int, int | None], is_told: bool) -> None:
    facts = seen(looks=[[Standing("shop", *before)], [Standing("shop", *after), Standing("other", 9, 0)]])

    assert bool(list(carriers.nobody_receives(facts))) is is_told


@pytest.mark.parametrize(
    ("lags", "is_told"),
    [
        ((5, 60, 90, 200), True),
        ((5, 6, 7, 8), False),
        ((5, 5, 5, 5), False),
        ((5, 90, 60, 200), False),  # some was settled in between
        ((9_000, 9_100, 9_200, 9_300), False),  # it may be settled in batches
        ((0, 9, 90, 200), False),  # nothing waited: all of it has just come
        ((200, 90, 60, 5), False),
    ],
)
def test_one_that_does_not_keep_up(lags: tuple[int, ...], is_told: bool) -> None:
    found = list(carriers.gets_nothing_done(seen(looks=[[Standing("shop", lag, 1)] for lag in lags], seconds=2.25)))

    assert bool(found) is is_told
    if found:
        assert "5 events waited for it, and 200 2 seconds later" in found[0].what


async def test_a_log_as_a_broker_is_looked_at_as_a_file() -> None:
    assert await examined(App("shop", log="memory:", broker="memory:bus")) is None
    assert await examined(App("shop", log="memory:", broker="pigeon://loft")) is None
