"""Which parked events have their turn: the same answer from every log."""

from collections.abc import Iterable

from tidings.log.parked import Parked


def in_turn(parked: Iterable[Parked], now: float) -> list[Parked]:
    """Those that may be handled `now`, of a group's parked events in the order of the log.

    Events of a key have their turn up to the first that must wait: one that is dead, or whose retry is due later. An
    event without a key, or that blocks nobody, has its turn when its retry is due.
    """
    found: list[Parked] = []
    stopped: set[str] = set()  # keys at an event that has to be waited for
    for one in parked:
        is_ready = one.state == "retry" and one.due <= now
        if one.key is None or not one.blocks:
            if is_ready:
                found.append(one)
        elif one.key not in stopped and (is_ready or one.state == "blocked"):
            found.append(one)
        else:
            stopped.add(one.key)
    return found
