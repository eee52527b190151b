"""Patterns: the grammar of recorded names, on any text; found fast, remembered within bounds, forgotten on change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.emitter import Emitter
from tidings.emitter.names import Pattern, is_pattern
from tidings.events.names import Pattern as RecordedPattern

SEPARATORS = st.sampled_from(":./")


def joined(segments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    more = st.lists(st.tuples(SEPARATORS, segments), max_size=6)
    return st.builds(lambda first, rest: first + "".join(map("".join, rest)), segments, more)


@given(joined(st.sampled_from(["a", "b", "*", "**"])), joined(st.sampled_from(["a", "b", "c"])))
def test_a_pattern_means_to_an_emitter_what_it_means_to_a_log(pattern: str, name: str) -> None:
    if is_pattern(pattern):
        assert Pattern(pattern).matches(name) == RecordedPattern(pattern).matches(name)


@pytest.mark.parametrize(
    ("pattern", "name", "is_heard"),
    [
        ("order.*", "order:created", True),
        ("order:*", "order:", True),
        ("*", "", True),
        ("**", "", True),
        ("a.**.b", "a.b", True),
        ("a.**", "ab", False),
        ("any thing:*", "any thing:new\nline", True),
        ("*.é", "ü.é", True),
        ("ord*", "order", False),
        ("a.b*.c", "a.bc.c", False),
        ("ord*", "ord*", True),
    ],
)
def test_a_star_is_a_wildcard_only_as_a_whole_segment_of_any_text(pattern: str, name: str, is_heard: bool) -> None:
    emitter = Emitter()
    emitter.on(pattern, repr)

    assert emitter.emit(name, 1) is is_heard


def test_many_wildcards_do_not_multiply_the_work() -> None:
    pattern = Pattern(":".join(["**", "a"] * 40))

    assert not pattern.matches(":".join(["a"] * 500 + ["b"]))


def test_listening_changes_what_a_name_heard_before_means() -> None:
    calls: list[str] = []
    emitter = Emitter()
    assert not emitter.emit("order:created")

    emitter.on("order:*", lambda: calls.append("pattern"))
    assert emitter.emit("order:created")
    emitter.on("order:created", lambda: calls.append("name"))
    assert emitter.emit("order:created")
    emitter.off_all("order:*")
    assert emitter.emit("order:created")
    emitter.off_all()
    assert not emitter.emit("order:created")

    assert calls == ["pattern", "pattern", "name", "name"]


@pytest.mark.parametrize("moment", range(1, 8))
def test_a_change_while_an_event_is_looked_up_counts_from_the_next_one(moment: int) -> None:
    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:  # asked at each look, here it is where another thread comes between
            looks.append(self)
            if len(looks) == moment:
                emitter.on("foo", repr)
            return str.__hash__(self)

    looks: list[str] = []
    emitter = Emitter()
    emitter.on("bar", repr)

    emitter.emit(Name("foo"), 1)

    assert emitter.emit("foo", 1) is (len(looks) >= moment)


def test_names_made_of_ids_do_not_fill_the_memory() -> None:
    emitter = Emitter()
    emitter.on("order:*", repr)

    for number in range(10_000):
        emitter.emit(f"order:{number}", number)

    assert len(emitter._registry.heard) <= 4096
