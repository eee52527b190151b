"""Names that may be recorded, and the patterns that select them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.errors import InvalidName
from tidings.events import Pattern, PatternSet, check_name, matches, names, split_version

SEGMENTS = st.sampled_from(["a", "b", "c", "order"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=7).map(":".join)
PATTERNS = st.lists(st.one_of(SEGMENTS, st.sampled_from(["*", "**"])), min_size=1, max_size=7).map(".".join)


@pytest.mark.parametrize("name", ["a", "order:created", "a.b/c:d", "Order_1-x", "a" * 255])
def test_a_name_of_the_grammar_is_given_back(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a:", ":a", "a::b", "a b", "order:created\n", "é", "a*", "*", "a" * 256, "a\x00", "a,b", "\ud800"]
)
def test_a_name_outside_the_grammar_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("order:created.v2", ("order:created", 2)),
        ("order:created", ("order:created", None)),
        ("order:created.v0", ("order:created.v0", None)),
        ("order:created.v02", ("order:created.v02", None)),
        ("order:created.version", ("order:created.version", None)),
        ("v2", ("v2", None)),
        ("a.v" + "9" * 40, ("a.v" + "9" * 40, None)),
    ],
)
def test_a_version_suffix_is_taken_off(name: str, expected: tuple[str, int | None]) -> None:
    assert split_version(name) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("order:created", "order:created", True),
        ("order.created", "order:created", False),
        ("order:*", "order:created", True),
        ("order.*", "order:created", True),
        ("order:*", "order", False),
        ("order:*", "order:created:late", False),
        ("order:**", "order", True),
        ("order:**", "order:created:late", True),
        ("**", "anything/at.all", True),
        ("*", "order", True),
        ("*", "order:created", False),
        ("**:late", "order:created:late", True),
        ("a:**:b:**:c", "a:b:x:b:c", True),
        ("a:**:b:*:c", "a:b:b:c", True),
        ("a:**:b:*:c", "a:b:c", False),
    ],
)
def test_a_pattern_selects_by_whole_segments(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize("pattern", ["", "ord*", "***", "a:", "a::*", "*\n", "a b", "?"])
def test_a_pattern_outside_the_grammar_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidName):
        Pattern(pattern)


def test_only_a_pattern_without_wildcards_is_literal() -> None:
    assert Pattern("order:created").literal
    assert not Pattern("order:*").literal


@given(PATTERNS, NAMES)
def test_matching_agrees_with_a_plain_regular_expression(pattern: str, name: str) -> None:
    expected = name == pattern if "*" not in pattern else _reference(pattern, name)

    assert matches(pattern, name) is expected


@pytest.mark.parametrize("segment", ["*", "**", "**:*", "**:a", "a:**"])
def test_ten_thousand_stars_take_few_steps(segment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = Pattern(":".join([segment] * 10_000 + ["end"]))
    name = ":".join(["a"] * 127)
    steps = 0

    class Counted(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal steps
            steps += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    counted = tuple(Counted(each) for each in pattern._segments)
    monkeypatch.setattr(pattern, "_segments", counted)
    assert not pattern.matches(name)

    assert steps <= 4 * 128 * 128


def test_repeated_double_stars_cost_nothing() -> None:
    assert Pattern(":".join(["**"] * 10_000))._segments == ("**",)


def test_the_hardest_short_pattern_takes_at_most_squared_steps() -> None:
    pattern = Pattern(":".join(["**:a"] * 63 + ["b"]))

    assert not pattern.matches(":".join(["a"] * 127))


def test_a_set_selects_what_any_of_its_patterns_selects() -> None:
    patterns = PatternSet(["order:*", "stock:reserved"])

    answers = [patterns.matches(name) for name in ("order:created", "stock:reserved", "stock:sold") * 2]

    assert answers == [True, True, False] * 2


def test_a_set_without_patterns_selects_nothing() -> None:
    assert not PatternSet([]).matches("order:created")


def test_a_set_remembers_a_bounded_number_of_names() -> None:
    patterns = PatternSet(["order:*"])

    for number in range(names._REMEMBERED_NAMES * 2):
        patterns.matches(f"order:{number}")

    assert len(patterns._known) <= names._REMEMBERED_NAMES


def _reference(pattern: str, name: str) -> bool:
    written = {"*": "[^:]+:", "**": "(?:[^:]+:)*"}
    regular = "".join(written.get(segment, f"{segment}:") for segment in pattern.split("."))
    return re.fullmatch(regular, name + ":") is not None


@pytest.mark.parametrize("pattern", ["**", "*:group:lagging", "**:lagging", "*:**", "**:group:*"])
def test_a_pattern_that_begins_with_a_wildcard_leaves_out_the_toolkits_own_names(pattern: str) -> None:
    assert matches(pattern, "shop:group:lagging")
    assert not matches(pattern, "tidings:group:lagging")


@pytest.mark.parametrize("pattern", ["tidings:**", "tidings:*:lagging", "tidings:group:lagging"])
def test_the_toolkits_own_names_are_heard_by_who_names_them(pattern: str) -> None:
    assert matches(pattern, "tidings:group:lagging")
    assert matches("**", "tidings.group")  # only its own prefix is set apart
    assert matches("**", "tidings2:x")
