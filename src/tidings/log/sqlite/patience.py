"""Waiting in the writers' queue, but not for ever."""

import threading

from tidings.errors import LogLocked
from tidings.log.sqlite.sidecar import Sidecar


def lock_within(sidecar: Sidecar, seconds: float) -> None:
    """Take the writers' lock; when it cannot be had in time, close `sidecar`.

    Raises:
        LogLocked: it was not to be had within `seconds`.
    """
    if sidecar.try_lock():
        return
    decision = threading.Lock()  # taken by what comes first: the lock, or the end of our patience
    is_locked = threading.Event()

    def wait() -> None:
        sidecar.lock()
        if decision.acquire(blocking=False):
            is_locked.set()
        else:
            sidecar.unlock()
            sidecar.close()

    threading.Thread(target=wait, name="tidings-opening", daemon=True).start()
    try:
        in_time = is_locked.wait(seconds)
    except BaseException:  # a KeyboardInterrupt
        if not decision.acquire(blocking=False):
            sidecar.unlock()
            sidecar.close()
        raise
    if not in_time and decision.acquire(blocking=False):
        raise LogLocked(sidecar.holder(), str(sidecar.database))
