"""What the shared SQL needs of a connection and of an open write transaction."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from tidings.log.position import Epoch, Position
from tidings.log.record import Adopted, Draft
from tidings.log.slices import ANY, Expect

Result = TypeVar("Result")


class Cursor(Protocol):
    """What a statement gives."""

    @property
    def rowcount(self) -> int:
        """How many rows it touched."""

    def fetchone(self) -> Any:
        """The next row; None when there is none."""

    def fetchall(self) -> list[Any]:
        """All rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Runs statements."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one."""

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Any:
        """Run one with many sets of parameters."""


class Session(Protocol):
    """One open write transaction."""

    control: bool  # members, lanes, or an operator's wishes are changed
    timers: bool  # one is due before all others, and soon
    writes: int  # anything this transaction has changed
    size: int  # bytes written, of events and timers

    @property
    def connection(self) -> Connection:
        """Where statements that change nothing are run."""

    @property
    def recorded_at(self) -> int:
        """The log's time now, in microseconds since 1970."""

    @property
    def tip(self) -> int:
        """The highest order given out."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement that changes something, after what was gathered before it."""

    def flush(self) -> None:
        """Write what was gathered."""

    def run(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run a statement of the user's."""

    def append(
        self, drafts: Sequence[Draft], stream: str | None = None, expect: Expect = ANY, *, careful: bool = False
    ) -> Any:
        """Record `drafts`; see `Log.append`. Only when `careful` does it look for ids that are recorded already."""

    def absorb(self, drafts: Sequence[Draft], *, careful: bool) -> Any:
        """Record those that are not recorded."""

    def adopt(self, given: Sequence[Adopted]) -> int:
        """Record those that are not recorded, each where its stream says; how many."""

    def remove(self, orders: Sequence[int]) -> None:
        """Trim these events."""

    def recorded(self, drafts: Sequence[Draft]) -> list[int]:
        """The orders of those that are recorded already."""


class Threads(Protocol):
    """Runs questions and jobs where they may block."""

    @property
    def epoch(self) -> Epoch:
        """The life of the log that is now."""

    def order(self, connection: Any, position: Position) -> int:
        """The order a position stands for."""

    async def read(self, question: Callable[[Any], Result]) -> Result:
        """Ask a question, a function of a connection."""

    async def write(
        self,
        run: Any,
        *,
        exclusive: bool = False,
        essential: bool = False,
        weight: int = 1,
        lone: Draft | None = None,
    ) -> Any:
        """Run a job, a function of a session and `careful`; returns what it gave once that is committed.

        Where to record one event of no stream is all it does, it is `lone`: that may go a shorter way.
        """

    def write_blocking(self, run: Any, *, weight: int = 1, timeout: float | None = None) -> Any:
        """Run a job from a plain thread, and block until it is committed, at most `timeout` seconds."""
