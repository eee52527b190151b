"""Linux's inotify on one file, in three calls: the wake-up that costs nothing while nothing happens."""

import asyncio
import ctypes
import os
import sys

_IN_MODIFY = 0x2


def watch(path: str) -> int | None:
    """A descriptor that becomes readable when the file changes, or None where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor


def drain(descriptor: int) -> None:
    """Forget what the descriptor has reported so far."""
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def unwatch(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    """Close a descriptor that `loop` reads, from that loop or another one."""
    if loop is asyncio.get_running_loop():
        _let_go(loop, descriptor)
        return
    try:
        loop.call_soon_threadsafe(_let_go, loop, descriptor)
    except RuntimeError:  # it is closed, and reads no more
        os.close(descriptor)


def _let_go(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    loop.remove_reader(descriptor)
    os.close(descriptor)
