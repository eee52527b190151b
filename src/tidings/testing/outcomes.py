"""What became of an event in a group: `Handled`, `SetAside`, `Held`; and the error for unexpected dead letters."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from tidings.events import Event
from tidings.log import Parked
from tidings.testing.calls import Call
from tidings.testing.recorded import Recorded
from tidings.testing.showing import show_event


class Handled(msgspec.Struct, frozen=True):
    """One event that one group has handled, committed."""

    group: str
    event: Event
    attempts: int  # 1: it went well at the first
    calls: int  # more than attempts when what a call had done was lost, and it was made again

    def __str__(self) -> str:
        return f"{show_event(self.event)}  by {self.group} at attempt {self.attempts}, with {self.calls} calls"


class SetAside(msgspec.Struct, frozen=True):
    """One event that one group has set aside: `retry`, `blocked` or `dead`."""

    group: str
    event: Event
    state: str
    attempts: int
    due: float  # of a retry, by the test's clock: seconds since 1970 UTC
    reason: str
    traceback: str

    @property
    def place(self) -> str:
        """The last line of code in the traceback, with its file; empty when there is none."""
        lines = [line.strip() for line in self.traceback.splitlines()]
        at = max((number for number, line in enumerate(lines) if line.startswith('File "')), default=None)
        return "" if at is None else " ".join(lines[at : at + 2])

    def __str__(self) -> str:
        told = f"{show_event(self.event)}  in {self.group}, {self.state} after attempt {self.attempts}: {self.reason}"
        return f"{told}\n      {self.place}" if self.place else told


class Held(msgspec.Struct, frozen=True):
    """One event that flow control in one group keeps from its handler: no answer yet, and none before its time."""

    group: str
    event: Event
    by: str  # "rate", "batch" or "breaker"
    seconds: float  # of the test's time until the group goes on

    def __str__(self) -> str:
        return f"{show_event(self.event)}  in {self.group}, by its {self.by} for {self.seconds:g} s"


class UnexpectedDeadLetters(AssertionError):
    """A test has ended with dead letters that it had not asked for: `letters`."""

    def __init__(self, letters: Sequence[SetAside]) -> None:
        self.letters = tuple(letters)
        count = f"{len(letters)} dead letters" if len(letters) > 1 else "a dead letter"
        told = "".join(f"\n\n{each.group} gave up {show_event(each.event)}\n{each.traceback}" for each in letters)
        super().__init__(
            f"the test ended with {count} that it did not expect; correct the handler, or say test.assert_dead(...) or"
            f" TestApp(app, raise_dead=False){told}"
        )


def handled(calls: Iterable[Call], history_of: Callable[[str], Recorded]) -> list[Handled]:
    """The calls as a test sees them; `history_of` a group is that of the log or broker which it hears."""
    return [Handled(call.group, history_of(call.group).event(call.order), call.attempts, call.count) for call in calls]


def set_aside(parked: Iterable[Parked], history_of: Callable[[str], Recorded]) -> list[SetAside]:
    """Parked events as a test sees them."""
    return [
        SetAside(
            one.group, history_of(one.group).event(one.order), one.state, one.attempts, one.due, one.reason, one.detail
        )
        for one in parked
    ]
