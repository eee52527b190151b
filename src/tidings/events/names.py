"""Names of recorded events, and the patterns that select them.

A name is segments of `A-Z a-z 0-9 _ -` joined by `:`, `.` or `/`. In a pattern `*` stands for exactly one segment and
`**` for any number of them. A pattern without a wildcard is compared as an exact string; with one, segment by segment,
so that `order.*` and `order:*` both select `order:created`.

Names that begin with `tidings:` are the toolkit's own news. As `*` in a shell leaves out files that begin with a dot, a
pattern that begins with a wildcard leaves these out: they are heard by who names them, as in `tidings:**`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from tidings.errors import InvalidName

MAX_NAME_LENGTH: Final = 255
OWN: Final = "tidings:"  # what the names of our own events begin with
ANSWER: Final = f"{OWN}answer:"  # and of answers to an application's questions, whose name follows
_SEGMENT = r"[A-Za-z0-9_-]+"
_NAME = re.compile(rf"{_SEGMENT}(?:[:./]{_SEGMENT})*")
_PATTERN = re.compile(rf"(?:{_SEGMENT}|\*\*?)(?:[:./](?:{_SEGMENT}|\*\*?))*")
_VERSIONED = re.compile(r"(.+)\.v([1-9][0-9]{0,8})", re.DOTALL)
_SEPARATOR = re.compile(r"[:./]")
_REMEMBERED_NAMES: Final = 4096  # a bound, so that foreign names cannot fill the memory


def check_name(name: str) -> str:
    """Give `name` back when it may be recorded.

    Raises:
        InvalidName: it is empty, longer than 255 characters or outside the grammar; a trailing newline is.
    """
    if not isinstance(name, str):
        raise InvalidName(str(name), f"expected text, got {type(name).__name__}")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidName(name, f"it has {len(name)} characters, {MAX_NAME_LENGTH} are allowed")
    if _NAME.fullmatch(name) is None:
        raise InvalidName(name, "it is empty" if not name else "a segment is empty or has a character not allowed")
    return name


def split_version(name: str) -> tuple[str, int | None]:
    """Take a version suffix off: `order:created.v2` is `("order:created", 2)`, a plain name keeps version `None`."""
    found = _VERSIONED.fullmatch(name)
    return (name, None) if found is None else (found[1], int(found[2]))


def first_segment(name: str) -> str:
    """What a name or pattern begins with: `order` of `order:created`."""
    return _SEPARATOR.split(name, maxsplit=1)[0]


def matches(pattern: str, name: str) -> bool:
    """Does `pattern` select `name`? Who asks often compiles a `Pattern` or `PatternSet` once.

    Raises:
        InvalidName: the pattern is outside the grammar.
    """
    return Pattern(pattern).matches(name)


class Pattern:
    """A compiled pattern. Matching takes at most segments-of-the-name squared steps, whatever the pattern.

    Raises:
        InvalidName: the text is outside the grammar; a wildcard beside other characters (`ord*`) is.
    """

    __slots__ = ("_fewest", "_is_open", "_segments", "literal", "text")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or _PATTERN.fullmatch(text) is None:
            raise InvalidName(str(text), "as a pattern, each segment is plain, '*' or '**', and none is empty")
        self.text = text
        self.literal = "*" not in text
        self._segments = _without_repeats(_SEPARATOR.split(text))
        self._fewest = sum(segment != "**" for segment in self._segments)
        self._is_open = self._segments[0] in ("*", "**")

    def matches(self, name: str) -> bool:
        """Is `name` selected?"""
        if self.literal:
            return name == self.text
        if self._is_open and name.startswith(OWN):
            return False
        segments = _SEPARATOR.split(name)
        return len(segments) >= self._fewest and _fits(self._segments, segments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


class PatternSet:
    """Several patterns asked as one; a name seen before is answered from memory."""

    __slots__ = ("_known", "patterns")

    def __init__(self, patterns: Iterable[str | Pattern]) -> None:
        self.patterns = tuple(each if isinstance(each, Pattern) else Pattern(each) for each in patterns)
        self._known: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        """Is `name` selected by one of the patterns?"""
        known = self._known.get(name)
        return self._ask(name) if known is None else known

    def _ask(self, name: str) -> bool:
        if len(self._known) >= _REMEMBERED_NAMES:
            self._known.clear()
        answer = self._known[name] = any(pattern.matches(name) for pattern in self.patterns)
        return answer

    def __repr__(self) -> str:
        return f"PatternSet({[pattern.text for pattern in self.patterns]!r})"


def _without_repeats(segments: Sequence[str]) -> tuple[str, ...]:
    # `**:**` says no more than `**`, and each further one would cost a step.
    previous = ("", *segments)
    return tuple(now for before, now in zip(previous, segments, strict=False) if not now == before == "**")


def _fits(pattern: Sequence[str], name: Sequence[str]) -> bool:
    # Only the last `**` is ever reconsidered: what an earlier one could still give away, the later one can take too.
    at = place = 0
    open_star, resume = -1, 0
    while place < len(name):
        wanted = pattern[at] if at < len(pattern) else None
        if wanted == "**":
            open_star, resume = at, place
            at += 1
        elif wanted == "*" or wanted == name[place]:
            at, place = at + 1, place + 1
        elif open_star >= 0:
            resume += 1
            at, place = open_star + 1, resume
        else:
            return False
    return all(rest == "**" for rest in pattern[at:])
