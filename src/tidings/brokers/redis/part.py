"""A stream as one inbox reads it: a partition of a channel, or what its group is to have again."""

from collections import deque


class Part:
    """One stream, while it is this member's to read."""

    __slots__ = ("attempts", "channel", "cursor", "is_leaving", "key", "open", "settling")

    def __init__(self, key: str, channel: str, cursor: str | None = None) -> None:
        self.key = key
        self.channel = channel  # "" where events of several are
        self.cursor = cursor  # from where on it is looked for what others left unsettled; None: nothing is left
        self.open: set[bytes] = set()  # what was handed over and has no answer
        self.settling = 0  # how many settlements are under way: until the server has them, they are no answers
        self.attempts: dict[bytes, int] = {}  # of what was taken over
        self.is_leaving = False  # nothing more is read; it is released when all has its answer

    @property
    def is_done(self) -> bool:
        """Has all that was handed over its answer?"""
        return not self.open and not self.settling

    def __repr__(self) -> str:
        return f"Part({self.key!r})"


class Waiting:
    """Entries that came from the server and were not handed over yet, each part's in order."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[Part, list[tuple[bytes, list[bytes] | None]], int]] = deque()

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def add(self, part: Part, entries: list[tuple[bytes, list[bytes] | None]]) -> None:
        """Put them behind the others."""
        if entries:
            self._chunks.append((part, entries, 0))

    def take(self, at_most: int) -> list[tuple[Part, list[tuple[bytes, list[bytes] | None]]]]:
        """The next ones; those of parts that are leaving are dropped, as another member will read them."""
        taken = []
        while self._chunks and at_most > 0:
            part, entries, first = self._chunks.popleft()
            if part.is_leaving:
                continue
            some = entries[first : first + at_most]
            taken.append((part, some))
            at_most -= len(some)
            if first + len(some) < len(entries):
                self._chunks.appendleft((part, entries, first + len(some)))
        return taken
