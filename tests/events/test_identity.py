"""Ids: new ones and derived ones."""

import itertools
import os
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.events import derived_id, identity, new_id, new_ids


def test_a_new_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    found = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000

    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert before - 1 <= found.int >> 80 <= after + 1


def test_new_ids_are_unique_and_grow() -> None:
    made = [new_id() for _ in range(200_000)]

    assert made == sorted(set(made))
    assert all(len(each) == 36 for each in made[:1000])


def test_new_ids_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()

    monkeypatch.setattr(identity, "wall_nanoseconds", lambda: 1_000_000_000)

    assert before < new_id() < new_id()


def test_new_ids_grow_past_a_block_of_the_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "wall_nanoseconds", lambda: 2**60)

    made = [new_id() for _ in range(70_000)]

    assert made == sorted(set(made))


def test_new_ids_are_unique_over_threads() -> None:
    made: list[list[str]] = []

    threads = [threading.Thread(target=lambda: made.append([new_id() for _ in range(20_000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    everything = [each for part in made for each in part]
    assert len(set(everything)) == 80_000
    assert all(part == sorted(part) for part in made)


def test_ids_made_together_are_uuids_of_version_7_between_those_made_before_and_behind_them() -> None:
    before = time.time_ns() // 1_000_000

    made = [new_id(), *new_ids(1000), new_id(), *new_ids(1), *new_ids(0), new_id()]

    assert made == sorted(set(made))
    assert len(made) == 1004
    after = time.time_ns() // 1_000_000
    for found in map(uuid.UUID, made):
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert before - 1 <= found.int >> 80 <= after + 1


@pytest.mark.parametrize("count", [3, 70_000])
@pytest.mark.parametrize("left", [0, 1, 2, 3, 4])
def test_ids_made_together_grow_past_a_block_of_the_counter_and_when_the_clock_goes_back(
    monkeypatch: pytest.MonkeyPatch, count: int, left: int
) -> None:
    monkeypatch.setattr(identity._source, "count", itertools.count((1 << 38) - left))
    before = new_id()
    monkeypatch.setattr(identity, "wall_nanoseconds", lambda: 1_000_000_000)

    made = [before, *new_ids(count), new_id(), *new_ids(count)]

    assert made == sorted(set(made))


def test_ids_made_together_are_unique_over_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)  # chance would hide a counter that repeats itself
    made: list[str] = []

    def make() -> None:
        for _ in range(100):
            ids = new_ids(500)
            assert ids == sorted(ids)
            made.extend(ids)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 200_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_fork_does_not_repeat_its_parents_ids() -> None:
    new_id()
    reading, writing = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(writing, " ".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = set(os.read(reading, 100_000).decode().split())
    os.close(reading)
    os.close(writing)

    assert len(theirs) == 100
    assert theirs.isdisjoint(new_id() for _ in range(100))
    assert {each[14:23] for each in theirs}.isdisjoint({new_id()[14:23]})


def test_a_derived_id_is_a_uuid_that_stays_the_same_for_ever() -> None:
    found = uuid.UUID(derived_id("event", "group", "0"))

    assert (found.version, found.variant) == (8, uuid.RFC_4122)
    assert str(found) == derived_id("event", "group", "0") == FOREVER


# Recorded logs rely on it: an effect run again after an upgrade must have this id again.
FOREVER = "5dbe641e-81cd-8442-b37f-852e28e4cea5"


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_other_parts_have_another_derived_id(some: list[str], others: list[str]) -> None:
    assert (derived_id(*some) == derived_id(*others)) is (some == others)


def test_a_derived_id_can_be_made_of_any_text() -> None:
    assert derived_id("\ud800") != derived_id("\udfff")
