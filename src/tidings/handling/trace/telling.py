"""A trace in words: what a group did with an event, and why it did so more than once."""

from datetime import datetime

from tidings.handling.trace.model import Reception, Step, Trace, Traced


def state(reception: Reception) -> str:
    """What a group did with an event, in one line."""
    said = _state(reception)
    return f"{said}; the group is paused" if reception.is_paused and reception.state != "handled" else said


def history(reception: Reception) -> list[str]:
    """How it came to that, a line a step: nothing where it was handled at the first call and never again."""
    steps = reception.steps
    if len(steps) == 1 and steps[0].what == "handled" and not steps[0].reason:
        return []
    if len(steps) == 1 and steps[0].what == reception.state:
        return [f"before, it failed with {steps[0].reason}"] if steps[0].what == "handled" else []
    return [f"{clock_time(step.at)} {_step(step)}" for step in steps]


def reason(reception: Reception) -> str:
    """Why it is set aside, where that is not said in `state`."""
    return reception.reason if reception.state in ("retry", "dead") else ""


def repeat(step: Step) -> str:
    """When the event came a second time."""
    return f"came again at {clock_time(step.at)}, and was dropped as a duplicate"


def origin(event: Traced) -> str:
    """Who published it."""
    if event.is_foreign:
        return f"from {event.source}, over the bus"
    return f"returned by {event.by}" if event.by else f"published by {event.source}"


def endings(trace: Trace) -> list[str]:
    """What is not in the trace."""
    said = []
    if trace.lost_cause is not None:
        said.append(f"Its cause {trace.lost_cause} is not in this log: it is another service's, or was trimmed.")
    if not trace.is_complete:
        said.append("There is more to it, or may be: a larger --depth or --limit looks further.")
    return said


def clock_time(moment: datetime) -> str:
    """The time of day here, to a millisecond."""
    return moment.astimezone().isoformat(timespec="milliseconds")[11:23]


def calls(number: int) -> str:
    """`call 1`, `3 calls`."""
    return "1 call" if number == 1 else f"{number} calls"


def _state(reception: Reception) -> str:
    at = f" {clock_time(reception.at)}" if reception.at is not None else ""
    by = f" by {reception.member}" if reception.member else ""
    match reception.state:
        case "handled":
            times = sum(step.what == "handled" for step in reception.steps)
            again = f", {times} times in all" if times > 1 else ""
            return f"handled{at}{by}{_after(reception.calls)}{again}"
        case "retry":
            due = f", due {clock_time(reception.due)}" if reception.due is not None else ""
            return f"to be tried again{due}{_after(reception.calls)}"
        case "blocked":
            return f"blocked{at} behind {reception.behind or 'an earlier event of its key'}"
        case "dead":
            return f"dead{at}{_after(reception.calls)}"
        case "passed":
            return f"passed over{at}"
        case "dropped":
            return f"given up by an operator{at}"
        case "waiting":
            return f"not yet: {reception.lag:,} events behind"
        case "forgotten":
            return "the group was deleted"
        case _:
            return "was here, and nothing is kept of what it did"


def _after(number: int) -> str:
    return f" after {calls(number)}" if number > 1 else ""


def _step(step: Step) -> str:
    because = f": {step.reason}" if step.reason else ""
    by = f" by {step.member}" if step.member else ""
    match step.what:
        case "handled":
            return f"handled{by}{_after(step.calls)}" + (f"; before, it failed with {step.reason}" if because else "")
        case "retry":
            return f"failed{by} after {calls(step.calls)}{because}"
        case "dead":
            return f"dead{by} after {calls(step.calls)}{because}"
        case "blocked":
            return "set aside behind an earlier event of its key"
        case "lost":
            return f"{step.member} died or stood still, and may have called the handler"
        case "reset":
            return "an operator moved the group: what it had done was forgotten"
        case "retried":
            return "an operator had it tried again"
        case "dropped":
            return "an operator gave it up"
        case "forgotten":
            return "an operator deleted the group"
        case "passed":
            return f"passed over{because}"
        case _:
            return "came again, and was dropped as a duplicate"
