"""What users write to hold events back: read, refused in a sentence, and said again."""

from typing import Any

import pytest

from tests.handling.stage import OrderCreated
from tidings import App, Batch, Breaker, Debounce, Rate, Throttle
from tidings.errors import ConfigurationError
from tidings.handling.flow.checking import flow
from tidings.handling.flow.settings import FREE, FlowControl


@pytest.mark.parametrize(
    ("text", "calls", "per"), [("100/s", 100, 1.0), ("5/m", 5, 60.0), ("7/h", 7, 3600.0), ("1/10s", 1, 10.0)]
)
def test_a_pace_is_read_as_it_is_written(text: str, calls: int, per: float) -> None:
    assert flow(rate=text).rate == Rate(calls, per)
    assert flow(throttle=text).throttle == Throttle(calls, per)


def test_seconds_are_a_debounce() -> None:
    assert flow(debounce=2).debounce == Debounce(2.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": "fast"}, "rate='fast' is no pace: write it as '100/s', '5/m' or '1/10s'"),
        ({"rate": "0/s"}, "calls and burst start at 1"),
        ({"rate": 5}, 'rate=5 is no Rate: give one, as in rate="100/s"'),
        ({"throttle": "1/0s"}, "per is above 0 s"),
        ({"debounce": 0}, "quiet is above 0 s"),
        ({"batch": 5}, "batch=5 is no Batch"),
        ({"breaker": True}, "breaker=True is no Breaker"),
        ({"priority": 3}, "priority=3 ranks nothing"),
        ({"debounce": 1.0, "throttle": "1/s"}, "use one of them"),
        ({"debounce": 1.0, "batch": Batch()}, "use one of them"),
        ({"priority": {}, "batch": Batch()}, "use one of them"),
        ({"singleton": True, "concurrency": 2}, "use one of them"),
        ({"batch": Batch(), "concurrency": 2}, "use one of them"),
    ],
    ids=str,
)
def test_what_cannot_be_kept_is_refused_in_one_sentence(app: App, settings: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        app.on(OrderCreated, **settings)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rate(1, burst=2),
        lambda: Throttle(0),
        lambda: Debounce(2.0, longest=1.0),
        lambda: Batch(size=0),
        lambda: Batch(wait=-1),
        lambda: Breaker(failures=0),
        lambda: Breaker(open_for=0),
    ],
)
def test_numbers_that_allow_nothing_are_refused_where_they_are_written(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be kept"):
        make()


def test_priority_and_tx_do_not_go_together(app: App) -> None:
    def write(order: OrderCreated, tx: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="takes tx and priority"):
        app.on(priority=lambda order: 1)(write)


def test_a_group_that_says_nothing_is_free() -> None:
    assert flow() is FREE
    assert FREE.is_free
    assert FREE.sentences() == []
    assert not FlowControl(rate=Rate(1)).is_free


def test_each_setting_says_itself() -> None:
    every = FlowControl(
        Rate(100),
        Throttle(1, 10.0),
        Debounce(2.0, longest=60.0),
        Batch(size=50, wait=0.5),
        Breaker(),
        {"a": 1},
        singleton=True,
    )

    assert every.sentences() == [
        "At most 100 calls in 1 s, 10 at once, in each process.",
        "The first event of a key in 10 s counts; the others are passed over.",
        "Only the last event of a key is handled, after 2 s without another, at latest after 1 min.",
        "Up to 50 events a call, or fewer after 0.5 s; when a call fails for good, its events are tried one by one.",
        "5 failed calls within 1 min stop a process from calling for 30 s; then one event tells whether it goes on.",
        "Of what has been read, keys with a higher priority (given by key) come first.",
        "One event of the group at a time, over all processes.",
    ]
