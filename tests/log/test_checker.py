"""The oracle catches each fault it names: a checker that cannot fail proves nothing."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidings.testing import History, check
from tidings.testing.checker import Reordered


def sound_history(*, keys: int = 5, events: int = 8) -> list[tuple[str, str, int]]:
    """(id, key, sequence) of events in an order that keeps every key's."""
    return [(f"{key}-{number}", f"k{key}", number) for number in range(events) for key in range(keys)]


def played(deliveries: list[tuple[str, str, int]], events: list[tuple[str, str, int]], *, settle: bool) -> History:
    history = History()
    for event_id, key, sequence in events:
        history.attempted(event_id, key=key, sequence=sequence)
        history.acknowledged(event_id)
    for event_id, key, sequence in deliveries:
        history.delivered("g", event_id, key=key, sequence=sequence)
        if settle:
            history.settled("g", event_id)
    return history


def test_a_sound_history_is_clean() -> None:
    events = sound_history()

    report = check(played(events, events, settle=True), groups=["g"])

    assert report.is_clean
    assert (report.attempted, report.acknowledged, report.delivered) == (40, 40, {"g": 40})
    assert report.duplicated == {"g": 0}
    assert "nothing wrong" in str(report)


def test_one_acknowledged_event_that_was_never_delivered_is_lost(seed: int) -> None:
    events = sound_history()
    deliveries = list(events)
    missing = deliveries.pop(random.Random(seed).randrange(len(deliveries)))

    report = check(played(deliveries, events, settle=True))

    assert report.lost == {"g": [missing[0]]}
    assert not report.is_clean
    assert missing[0] in str(report)


def test_a_group_that_saw_nothing_has_lost_everything() -> None:
    events = sound_history()

    report = check(played(events, events, settle=False), groups=["g", "silent"])

    assert len(report.lost["silent"]) == len(events)


def test_an_unacknowledged_event_may_be_delivered_or_not() -> None:
    history = History()
    history.attempted("a")
    history.attempted("b")
    history.delivered("g", "a")

    assert check(history).is_clean


def test_an_event_nobody_published_is_invented() -> None:
    events = sound_history()

    report = check(played([*events, ("ghost", "k0", 99)], events, settle=True))

    assert report.invented == {"g": ["ghost"]}
    assert not report.is_clean


def test_deliveries_beyond_the_first_are_counted(seed: int) -> None:
    events = sound_history()
    repeats = random.Random(seed).choices(events, k=7)

    report = check(played([*events, *repeats], events, settle=False))

    assert report.duplicated == {"g": 7}
    assert report.is_clean  # at least once


def test_any_two_events_of_a_key_the_wrong_way_round_are_reordered(seed: int) -> None:
    events = sound_history()
    index = random.Random(seed).randrange(len(events) - 5)
    swapped = list(events)
    swapped[index], swapped[index + 5] = swapped[index + 5], swapped[index]  # neighbours of one key

    report = check(played(swapped, events, settle=True))

    assert report.reordered == (Reordered("g", events[index][1], events[index][0], events[index + 5][0]),)
    assert not report.is_clean


def test_order_counts_within_a_key_by_first_delivery_only() -> None:
    history = History()
    for event_id, key, sequence in (("a2", "a", 2), ("b1", "b", 1), ("a3", "a", 3), ("a2", "a", 2), ("x", None, 0)):
        history.attempted(event_id)
        history.delivered("g", event_id, key=key, sequence=sequence)

    assert check(history).is_clean


def test_an_event_that_comes_again_after_its_settlement_is_resurrected() -> None:
    events = sound_history()
    history = played(events, events, settle=True)
    history.delivered("g", "2-3", key="k2", sequence=3)

    assert check(history).resurrected == {"g": ["2-3"]}
    assert not check(history).is_clean
    assert check(history, may_return={"2-3"}).is_clean


def test_a_settlement_of_one_group_says_nothing_about_another() -> None:
    history = History()
    history.attempted("a")
    history.delivered("g", "a")
    history.settled("g", "a")
    history.delivered("h", "a")

    assert check(history).is_clean


def test_the_files_of_several_processes_are_one_history_in_time(tmp_path: Path) -> None:
    publisher, consumer = History(tmp_path / "publisher"), History(tmp_path / "consumer")
    for number in range(20):
        publisher.attempted(f"e{number}")
        publisher.acknowledged(f"e{number}")
        consumer.delivered("g", f"e{number}", key="k", sequence=number)
        consumer.settled("g", f"e{number}")
    publisher.close()
    consumer.delivered("g", "e7", key="k", sequence=7)
    consumer.close()

    report = check(History.read(tmp_path / "consumer", tmp_path / "publisher"))

    assert (report.acknowledged, report.delivered, report.duplicated) == (20, {"g": 20}, {"g": 1})
    assert report.resurrected == {"g": ["e7"]}
    assert (report.lost, report.invented, report.reordered) == ({}, {}, ())


def test_every_torn_end_of_a_file_is_read_up_to_it(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    for number in range(3):
        history = History(path)
        history.attempted(f"e{number}")
        history.close()
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1

    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])

        assert [fact.event_id for fact in History.read(path).facts][:2] == ["e0", "e1"]


def test_a_process_goes_on_in_a_file_that_another_left_torn(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    path.write_bytes(b'["attempted",1,"e0","",null,0]\n["attem')

    history = History(path)
    history.attempted("e1")
    history.close()

    assert [fact.event_id for fact in History.read(path).facts] == ["e0", "e1"]


def test_processes_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    first = History(path)

    with pytest.raises(ValueError, match="give each process a path of its own"):
        History(path)
    first.attempted("e0")
    first.close()
    History(path).close()

    assert [fact.event_id for fact in History.read(path).facts] == ["e0"]


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        history = History(tmp_path / name)
        history.attempted(name)
        history.close()

    assert [fact.event_id for fact in History.read(tmp_path).facts] == ["one", "two"]


@pytest.mark.parametrize("text", [b'x\n["attempted",1,"e0"]\n', b'["attempted",1,"e0"]\nx\n'])
def test_a_line_that_was_never_a_fact_is_an_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "facts").write_bytes(text)

    with pytest.raises(ValueError, match="cannot be read"):
        History.read(tmp_path / "facts")


WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from tidings.testing import History
history = History(Path(sys.argv[1]))
for number in range(10**9):
    history.attempted(f"e{number}")
    if number == 100:
        print("going", flush=True)
"""


def test_a_killed_process_leaves_a_history(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    with subprocess.Popen([sys.executable, "-c", WRITES_UNTIL_KILLED, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)

    ids = [fact.event_id for fact in History.read(path).facts]

    assert len(ids) > 100
    assert ids == [f"e{number}" for number in range(len(ids))]
