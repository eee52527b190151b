"""Policies in words."""

from tidings import Retry
from tidings.cli.words import policy as in_words
from tidings.handling.policy import policy


def test_rules_are_told_in_order_with_their_waits() -> None:
    told = in_words(policy(retry=[Retry.never(KeyError), Retry(on=OSError, attempts=4, inline=0, wait=0.5)]))

    assert told[0] == "KeyError: dead at once."
    assert told[1] == "OSError: 3 after 0.5, 1, 2 s; dead after 4 calls."
    assert told[2].startswith("any failure: 3 more tries at once, then 6 after 1, 2, 4 ... s (the longest 32)")


def test_what_hears_a_broker_itself_is_told_apart() -> None:
    assert "Later events of a failed event's key go on." in in_words(policy(), directly=True)
    assert any(each.startswith("The group stops") for each in in_words(policy(on_exhausted="stop"), directly=True))


def test_order_and_limits_are_told() -> None:
    told = in_words(policy(on_dead="pass", concurrency=8, timeout=None))

    assert "Later events of a dead event's key go on." in told
    assert told[-1] == "Each process handles 8 keys at a time, no time limit."
