"""JSON from outside is bounded, and every failure is an InvalidEvent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.errors import InvalidEvent
from tidings.events import encode_json
from tidings.events.documents import MAX_DEPTH, check_depth, data_text, optional_number, optional_time, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('[]{}"\\a'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('[]{}"\\a'), inner),
)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"NaN", b"Infinity", b"1e999", b'"\\ud800"', b'"\xed\xa0\x80"', b"'a'", b"[1,]", b"9" * 5000]
)
def test_what_is_no_json_or_out_of_range_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidEvent):
        parse(text)


def test_whole_numbers_may_be_large_and_the_last_of_equal_members_counts() -> None:
    assert parse(b'{"a": 1, "a": 1267650600228229401496703205376}') == {"a": 2**100}


@pytest.mark.parametrize(
    ("opening", "closing", "levels"), [(b"[", b"]", 100), (b'{"a":', b"}", 100), (b'[{"]":', b"}]", 50)]
)
def test_a_hundred_levels_are_read_and_one_more_is_refused(opening: bytes, closing: bytes, levels: int) -> None:
    parse(opening * levels + b"1" + closing * levels)

    with pytest.raises(InvalidEvent, match="deeper than 100"):
        parse(b"[" + opening * levels + b"1" + closing * levels + b"]")


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"]" * 100_000, b"[}" * 100_000])
def test_endless_nesting_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidEvent):
        parse(text)


@pytest.mark.parametrize("text", [b'"' + b'\\"' * 200_000, b'"' + b'\\"' * 200_000 + b"\\", b'"' * 200_001])
def test_strings_without_an_end_take_no_longer_than_others(text: bytes) -> None:
    with pytest.raises(InvalidEvent):
        parse(b"[" * (MAX_DEPTH + 1) + text)


def test_brackets_in_strings_and_beside_each_other_do_not_count() -> None:
    value = {"text": "[" * 1000 + '\\"{', "flat": [[] for _ in range(1000)]}

    assert parse(json.dumps(value).encode()) == value


@given(JSON)
def test_every_shallow_json_value_is_read(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value


@given(st.binary())
def test_parsing_raises_nothing_but_invalid_event(text: bytes) -> None:
    try:
        parse(text)
    except InvalidEvent as error:
        str(error)


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b"x"]), min_size=200).map(b"".join))
def test_measuring_depth_never_fails_on_nonsense(text: bytes) -> None:
    try:
        check_depth(text)
    except InvalidEvent as error:
        str(error)


@pytest.mark.parametrize(
    "data", [object, {"a": float("nan")}, [(float("inf"),)], "\ud800", {1.5: object}, {"a": {1, 2j}}], ids=repr
)
def test_data_without_a_json_form_is_refused(data: object) -> None:
    with pytest.raises(InvalidEvent):
        encode_json(data)


def test_data_that_contains_itself_is_refused() -> None:
    ring: list[object] = []
    ring.append(ring)

    with pytest.raises(InvalidEvent):
        encode_json(ring)


def test_nothing_is_written_that_could_not_be_read() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]

    with pytest.raises(InvalidEvent, match="deeper"):
        encode_json(deep)


def test_none_is_written_as_null() -> None:
    assert encode_json({"a": None}) == b'{"a":null}'


def test_the_data_member_is_taken_digit_for_digit() -> None:
    assert bytes(data_text(b'{"id": "1", "data": {"total": 39.90}}')) == b'{"total": 39.90}'


@pytest.mark.parametrize(("value", "expected"), [(None, None), (3, 3), ("3", 3), ("-3", -3)])
def test_a_whole_number_may_be_written_as_text(value: object, expected: int | None) -> None:
    assert optional_number({"n": value}, "n") == expected


@pytest.mark.parametrize("value", [1.5, True, "", "x", "1.0", "9" * 5000, [1], "٣"])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent):
        optional_number({"n": value}, "n")


@pytest.mark.parametrize("value", ["", "yesterday", 1700000000, True, [], "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent):
        optional_time({"t": value}, "t")
