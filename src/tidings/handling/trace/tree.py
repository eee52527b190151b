"""A trace drawn as an indented tree, for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterator

from tidings.handling.trace import telling
from tidings.handling.trace.model import Trace, Traced

WIDTH = 80
_DEEPEST = 30  # columns of branches; whatever lies deeper is drawn no further to the right
_NARROWEST = 40  # columns of text, however wide the branches are


def tree(trace: Trace, width: int = WIDTH) -> str:
    """The whole trace; the event that was asked for is marked."""
    lines = [line for ending in telling.endings(trace)[:1] if trace.lost_cause for line in _wrapped(ending, "", width)]
    waiting = [(trace.root, "", "")]
    while waiting:
        event, branch, below = waiting.pop()
        deeper = below if len(below) > _DEEPEST else f"{below}   "
        lines += _event(event, branch, below, width)
        last = len(event.effects) - 1
        waiting += [
            (effect, f"{below}{'└─ ' if index == last else '├─ '}", deeper if index == last else _bar(below, deeper))
            for index, effect in reversed(list(enumerate(event.effects)))
        ]
    for ending in telling.endings(trace)[1 if trace.lost_cause else 0 :]:
        lines += _wrapped(ending, "", width)
    return "\n".join(lines)


def _bar(below: str, deeper: str) -> str:
    return f"{below}│{deeper[len(below) + 1 :]}" if len(deeper) > len(below) else below


def _event(event: Traced, branch: str, below: str, width: int) -> Iterator[str]:
    version = "" if event.version == 1 else f".v{event.version}"
    yield f"{branch}{event.type}{version}  {event.id}{'  <- asked for' if event.is_asked else ''}"
    under = f"{below}{'│ ' if event.effects else '  '}"
    yield from _wrapped(" · ".join(_facts(event)), under, width)
    yield from _wrapped(f"position {event.position}", under, width)
    for step in event.repeats:
        yield from _wrapped(telling.repeat(step), under, width)
    for reception in event.receptions:
        yield from _wrapped(f"{reception.group}: {telling.state(reception)}", f"{under}* ", width, f"{under}    ")
        for line in filter(None, [telling.reason(reception), *telling.history(reception)]):
            yield from _wrapped(line, f"{under}    ", width)
    if not event.receptions:
        yield f"{under}* no group hears it"
    if event.left_out:
        yield from _wrapped(f"... and caused {event.left_out:,} more, not shown", under, width)


def _facts(event: Traced) -> list[str]:
    facts = [event.recorded_at.astimezone().isoformat(sep=" ", timespec="milliseconds"), telling.origin(event)]
    if event.key is not None:
        facts.append(f"key {event.key}")
    if event.stream is not None:
        facts.append(f"stream {event.stream}")
    return facts


def _wrapped(text: str, indent: str, width: int, further: str | None = None) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        max(width, len(indent) + _NARROWEST),
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_on_hyphens=False,
    )
