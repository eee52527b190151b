"""`Activity`: whoever does something in an application under test says so here, and who waits for quiet hears it."""

import contextlib
import threading
from collections.abc import Iterator

from tidings.log.bell import Bell, Ear


class Activity:
    """A counter of what was done, and the ears of those who wait for it to rise."""

    def __init__(self, bell: Bell) -> None:
        self.count = 0
        self.committing: list[str] = []  # what is on its way to the log, and not known here yet
        self._bell = bell  # rings for what others than the application under test have recorded
        self._ears: tuple[Ear, ...] = ()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def commit(self, what: str) -> Iterator[None]:
        """Something is committed in this block: who looks at the log may see it before the block ends."""
        self.committing.append(what)
        try:
            yield
        finally:
            self.committing.remove(what)
            self.note()

    def note(self) -> None:
        """Something was done; callable from any thread."""
        with self._lock:
            self.count += 1
        self.ring()

    def ring(self) -> None:
        """Have who waits look again, although nothing was done; callable from any thread."""
        for ear in self._ears:
            ear.ring_from_thread()

    def listen(self) -> Ear:
        """An ear that hears what is noted, and the log's bell; `forget` it when done."""
        ear = self._bell.listen()
        with self._lock:
            self._ears += (ear,)
        return ear

    def forget(self, ear: Ear) -> None:
        """Ring `ear` no more."""
        with self._lock:
            self._ears = tuple(other for other in self._ears if other is not ear)
        self._bell.forget(ear)
