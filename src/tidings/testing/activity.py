"""`Activity`: whoever does something in an application under test says so here, and who waits for quiet hears it."""

import threading

from tidings.log.bell import Bell, Ear


class Activity:
    """A counter of what was done, and the ears of those who wait for it to rise."""

    def __init__(self, bell: Bell) -> None:
        self.count = 0
        self._bell = bell  # rings for what others than the application under test have recorded
        self._ears: tuple[Ear, ...] = ()
        self._lock = threading.Lock()

    def note(self) -> None:
        """Something was done; callable from any thread."""
        with self._lock:
            self.count += 1
            ears = self._ears
        for ear in ears:
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
