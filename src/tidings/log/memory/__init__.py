"""The log in memory: plain lists and dicts, for tests and trials, and the reference that shows what the seam means.

Nothing here awaits between its first change and its last, so every call happens whole or not at all. A log belongs to
one event loop. It has no SQL, so `tx` of a handler can append events and nothing else.
"""

from tidings.log.memory.log import MemoryLog

__all__ = ["MemoryLog"]
