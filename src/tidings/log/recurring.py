"""When what is scheduled for a series is not what should be: the same answer from every log."""

from collections.abc import Mapping, Sequence

from tidings.log.timers import Timer


def unwanted(waiting: Mapping[str, Timer], timers: Sequence[Timer]) -> list[str]:
    """The series that wait and are not among `timers`."""
    return sorted(waiting.keys() - {timer.series for timer in timers})


def missing(waiting: Mapping[str, Timer], timers: Sequence[Timer]) -> list[Timer]:
    """Those whose series does not wait, was made by another spec, or waits for longer than it should.

    The last is so when the clock has been set back since.
    """
    found = []
    for timer in timers:
        before = waiting.get(timer.series or "")
        if before is None or before.spec != timer.spec or before.due > timer.due:
            found.append(timer)
    return found
