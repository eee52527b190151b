"""Dead letters as rows, facts and documents."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from tidings.cli.words import data_text
from tidings.errors import LogDamaged
from tidings.events import Event, to_cloudevent
from tidings.handling.oversight.letters import Letter
from tidings.log.record import damaged, restore

FIELDS = ("position", "group", "name", "key", "id", "calls", "behind", "dead since", "reason")


def row(letter: Letter) -> list[Any]:
    """The cells of `FIELDS`."""
    one = letter.parked
    since = _time(one.changed_at).astimezone().isoformat(timespec="seconds")
    return [letter.position, one.group, one.type, one.key, one.event_id, one.attempts, letter.behind, since, one.reason]


def facts(letter: Letter) -> dict[str, Any]:
    """What there is to say, but for the traceback."""
    said = dict(zip(FIELDS, row(letter), strict=True))
    event = _event(letter)
    if event is None:
        return said | {"data": "trimmed from the log" if letter.parked.record is None else "damaged"}
    return said | {"recorded": event.recorded_at, "cause": event.causation_id, "data": data_text(event)}


def document(letter: Letter) -> dict[str, Any]:
    """All of it, the event as a CloudEvent."""
    one, event = letter.parked, _event(letter)
    return {
        "position": letter.position,
        "group": one.group,
        "id": one.event_id,
        "type": one.type,
        "key": one.key,
        "calls": one.attempts,
        "behind": letter.behind,
        "since": _time(one.changed_at),
        "reason": one.reason,
        "detail": one.detail,
        "event": None if event is None else msgspec.Raw(to_cloudevent(event)),
    }


def _event(letter: Letter) -> Event | None:
    """The event, if the log still has it, and it can be read."""
    record = letter.parked.record
    if record is None or damaged([record]):
        return None
    try:
        return restore(record, letter.position)
    except LogDamaged:
        return None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
