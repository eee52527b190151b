"""A log that was open when its process forked belongs to the parent: the child is told so, and does no harm."""

import asyncio

from tests.crash.oracle import intact, sound
from tests.crash.processes import Start


def test_a_fork_is_refused_its_parents_log_and_does_not_disturb_it(start: Start, url: str) -> None:
    parent = start("forking", url)

    said = {line[0]: line[1:] for line in parent.lines()}

    refused = {name: words for name, words in said.items() if name not in ("close", "done")}
    assert refused == {name: ["UsedAfterFork"] for name in ("publish", "scan", "claim", "health")}, parent.errors()
    assert said["close"] == ["worked"]
    assert "done" in said
    assert parent.wait() == 0
    assert [event.id for event in asyncio.run(sound(url))] == ["parent:1", "parent:2"]
    intact(url)
