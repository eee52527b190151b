"""Retry rules: the first that covers an exception counts, waits grow and are only ever lengthened by chance."""

import pytest

from tidings import Reject, Retry
from tidings.errors import (
    ConfigurationError,
    Conflict,
    ContractError,
    NewerVersion,
    TransactionMisuse,
)
from tidings.handling.policy import DEFAULT, Policy, policy


def test_the_first_rule_that_covers_an_exception_counts() -> None:
    narrow, wide = Retry(on=KeyError, attempts=2), Retry(on=LookupError, attempts=5)

    rules = Policy((narrow, wide))

    assert rules.rule(KeyError()) is narrow
    assert rules.rule(IndexError()) is wide
    assert Policy((wide, narrow)).rule(KeyError()) is wide
    assert rules.rule(OSError()) is DEFAULT


def test_three_repeats_happen_on_the_spot_within_a_third_of_a_second() -> None:
    waits = [Policy().inline_wait(OSError(), attempts) for attempts in (1, 2, 3, 4)]

    assert waits[3] is None
    assert sum(wait for wait in waits if wait is not None) == pytest.approx(0.3)


def test_a_rule_sets_how_many_repeats_happen_on_the_spot() -> None:
    rules = policy(retry=Retry(inline=1))

    assert rules.inline_wait(OSError(), 1) is not None
    assert rules.inline_wait(OSError(), 2) is None


def test_no_repeat_happens_on_the_spot_when_the_attempts_are_used_up() -> None:
    assert policy(retry=Retry(attempts=2)).inline_wait(OSError(), 2) is None


def test_waits_double_up_to_the_longest() -> None:
    rule = Retry(inline=3, wait=1.0, factor=2.0, longest=5.0, jitter=0)

    assert [rule.delay(attempts, 0.5) for attempts in (4, 5, 6, 7, 1000)] == [1, 2, 4, 5, 5]


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.999])
def test_chance_lengthens_a_wait_and_never_shortens_it(chance: float) -> None:
    rule = Retry(inline=0, wait=8.0, jitter=0.25)

    assert 8.0 <= rule.delay(1, chance) <= 10.0


def test_what_failed_together_does_not_come_back_together() -> None:
    waits = {Policy().verdict(OSError(), 4) for _ in range(20)}

    assert len(waits) > 1


def test_an_event_is_dead_when_its_attempts_are_used_up() -> None:
    rules = policy(retry=Retry(attempts=3))

    assert rules.verdict(OSError(), 2) is not None
    assert rules.verdict(OSError(), 3) is None


def test_never_means_dead_at_the_first_failure() -> None:
    rules = policy(retry=[Retry.never(ValueError), Retry(on=Exception, attempts=9)])

    assert rules.verdict(ValueError(), 1) is None
    assert rules.inline_wait(ValueError(), 1) is None
    assert rules.verdict(OSError(), 1) is not None


@pytest.mark.parametrize("error", [Reject("no"), ConfigurationError("a dict is no event")])
def test_no_rule_of_a_handler_repeats_what_is_final(error: Exception) -> None:
    assert policy(retry=Retry(on=Exception, attempts=9)).verdict(error, 1) is None


@pytest.mark.parametrize("error", [ContractError("a", 1, "$", "int"), TransactionMisuse("COMMIT")])
def test_mistakes_are_not_repeated_unless_a_rule_says_so(error: Exception) -> None:
    assert Policy().verdict(error, 1) is None
    assert policy(retry=Retry(on=type(error))).verdict(error, 1) is not None


def test_a_lost_race_is_run_again_however_often() -> None:
    assert Policy().verdict(Conflict("UPDATE t", 1, 0), 10_000) is not None


def test_an_exception_outside_the_usual_tree_is_retried_like_any_other() -> None:
    class Odd(BaseException):
        pass

    assert Policy().verdict(Odd(), 1) is not None


def test_what_cannot_be_decoded_is_tried_again_only_for_a_newer_version() -> None:
    rules = policy(retry=Retry(on=Exception, attempts=9))

    assert rules.until_readable(ContractError("a", 1, "$", "int"), 1) is None
    assert rules.until_readable(NewerVersion("a", 2, "$", "int"), 10_000) is not None


@pytest.mark.parametrize(
    "settings",
    [{"attempts": 0}, {"inline": -1}, {"inline": 4}, {"wait": -1.0}, {"factor": 0.5}, {"jitter": -0.1}],
)
def test_a_rule_that_cannot_be_kept_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be kept"):
        Retry(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"concurrency": 0}, {"timeout": 0}, {"on_dead": "ignore"}])
def test_a_policy_that_cannot_be_kept_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        policy(**settings)  # type: ignore[arg-type]


def test_a_lost_race_is_run_again_whatever_is_said_of_failures_in_general() -> None:
    lost = Conflict("UPDATE t", 1, 0)

    assert policy(retry=Retry.never()).verdict(lost, 1) is not None
    assert policy(retry=Retry.never(Conflict)).verdict(lost, 1) is None
