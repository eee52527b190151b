"""`Finding`: one thing that is wrong, and what to do about it."""

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with `subject`, and the cure.

    An error keeps something from working, a warning will, a note may be meant so.
    """

    severity: Severity
    subject: str
    what: str
    cure: str


def error(subject: object, what: str, cure: str) -> Finding:
    """It does not work like this."""
    return Finding("error", str(subject), what, cure)


def warning(subject: object, what: str, cure: str) -> Finding:
    """It works, and somebody will be sorry."""
    return Finding("warning", str(subject), what, cure)


def note(subject: object, what: str, cure: str) -> Finding:
    """It is worth knowing."""
    return Finding("note", str(subject), what, cure)
