"""Ids: new ones, sortable by time, and derived ones, which come out the same when the same work is done again."""

import hashlib
import itertools
import os

from tidings.clock import wall_nanoseconds

# A new id is a UUIDv7 (RFC 9562): 48 bits of milliseconds, then a 42-bit counter which never goes back in a process,
# then 32 random bits. The counter starts at a random place, so that two processes do not walk side by side. No lock:
# next() on a count and list.pop() are single steps, and time and counter both only grow.


class _Source:
    """One process's state; made anew in a fork, which would otherwise repeat its parent's ids."""

    __slots__ = ("count", "head", "randoms")

    def __init__(self) -> None:
        self.count = itertools.count(int.from_bytes(os.urandom(6), "big") >> 7)
        self.randoms: list[str] = []
        self.head = (0, -1, "")  # millisecond, the counter's upper bits, their text: one tuple, so that threads see all


_source = _Source()


def new_id() -> str:
    """A new UUIDv7 as text: unique everywhere, and greater than every id made before it in this process."""
    source = _source
    millisecond = wall_nanoseconds() // 1_000_000
    number = next(source.count)
    known, block, head = source.head
    if millisecond > known or number >> 16 != block:
        head = _new_head(source, millisecond, number >> 16)
    try:
        return f"{head}{number & 0xFFFF:04x}{source.randoms.pop()}"
    except IndexError:
        return f"{head}{number & 0xFFFF:04x}{_new_random(source)}"


def new_ids(count: int) -> list[str]:
    """So many new ids in ascending order, each greater than every id made before the call."""
    source = _source
    millisecond = wall_nanoseconds() // 1_000_000
    numbers = list(itertools.islice(source.count, count))
    if not numbers or numbers[0] >> 16 != numbers[-1] >> 16:  # they share no head
        return [new_id() for _ in numbers]
    known, block, head = source.head
    if millisecond > known or numbers[0] >> 16 != block:
        head = _new_head(source, millisecond, numbers[0] >> 16)
    tails = bytearray(os.urandom(6 * count))  # two bytes of the counter, four of chance
    tails[0::6] = bytes([number >> 8 & 0xFF for number in numbers])
    tails[1::6] = bytes([number & 0xFF for number in numbers])
    text = tails.hex()
    return [head + text[start : start + 12] for start in range(0, 12 * count, 12)]


def derived_id(*parts: str) -> str:
    """The UUID (version 8) that belongs to these parts: always the same one, and another for any other parts."""
    text = "".join([f"{len(part)}:{part}" for part in parts])
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:]}"


def _new_head(source: _Source, millisecond: int, block: int) -> str:
    millisecond = max(millisecond, source.head[0])  # a clock set back must not set ids back
    time_text = f"{millisecond:012x}"
    head = f"{time_text[:8]}-{time_text[8:]}-7{block >> 14:03x}-{0x8000 | block & 0x3FFF:04x}-"
    source.head = (millisecond, block, head)
    return head


def _new_random(source: _Source) -> str:
    text = os.urandom(4096).hex()
    fresh = [text[start : start + 8] for start in range(0, len(text), 8)]
    last = fresh.pop()
    source.randoms.extend(fresh)
    return last


def _start_anew() -> None:
    global _source
    _source = _Source()


if hasattr(os, "register_at_fork"):  # absent on Windows, which does not fork
    os.register_at_fork(after_in_child=_start_anew)
