"""Dead letters, and what is to be tried again, as rows, facts and documents."""

from typing import Any

import msgspec

from tidings.cli.fitting import Column
from tidings.cli.words import data_text, moment
from tidings.errors import LogDamaged
from tidings.events import Event, to_cloudevent
from tidings.handling.oversight.letters import Letter
from tidings.log.record import damaged, restore

_FIELDS = ("position", "group", "name", "key", "id", "calls", "behind", "since", "reason")
_SINCE = {"dead": "dead since", "retry": "next try", "blocked": "blocked since"}
_STATES = {
    "dead": "dead: nobody tries it again, until 'tidings dead retry' says so",
    "retry": "to be tried again by itself",
    "blocked": "blocked behind an earlier event of its key",
}
_HIDDEN = ("position", "dead since")  # on a terminal
_LEAST = {"reason": 24}
_GOES = {"behind": 1, "calls": 2, "key": 3, "name": 4}  # where it is narrow


def columns(*, retrying: bool) -> list[Column]:
    """Those of `row`; for letters that are to be tried again, or for dead ones."""
    names = _named("retry" if retrying else "dead")
    wholes, numbers = ("id", "next try"), ("calls", "behind")
    return [
        Column(name, name in numbers, name in wholes, name not in _HIDDEN, _GOES.get(name, 0), _LEAST.get(name, 12))
        for name in names
    ]


def row(letter: Letter) -> list[Any]:
    """The cells of `columns`."""
    one = letter.parked
    since = moment(one.due if one.state == "retry" else one.changed_at)
    return [letter.position, one.group, one.type, one.key, one.event_id, one.attempts, letter.behind, since, one.reason]


def facts(letter: Letter) -> dict[str, Any]:
    """What there is to say, but for the traceback."""
    said = {"state": _STATES[letter.parked.state]} | dict(zip(_named(letter.parked.state), row(letter), strict=True))
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
        "state": one.state,
        "calls": one.attempts,
        "behind": letter.behind,
        "since": moment(one.changed_at),
        "due": moment(one.due) if one.state == "retry" else None,
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


def _named(state: str) -> list[str]:
    return [_SINCE[state] if name == "since" else name for name in _FIELDS]
