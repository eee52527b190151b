"""What commands show and do where some handlers hear the log, and others, `direct=True`, the broker: both, told apart.

Of what the broker knows only the application's own direct groups are meant; others are its neighbours', whose logs tell
more of them.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tidings.address import redacted
from tidings.brokers import Broker, DeadLetter, Standing
from tidings.cli.on_broker import call, decided, letters_of, named
from tidings.errors import NotSupported, TidingsError
from tidings.events import PatternSet

Found = TypeVar("Found")


def standings(target: Any, names: Sequence[str]) -> list[Standing]:
    """How the direct groups stand, of these names or patterns, or all; what the broker does not say is None."""
    chosen = [name for name in target.direct if not names or PatternSet(names).matches(name)]
    if not chosen:
        return []
    there = {each.group: each for each in _asked(target, lambda broker: broker.groups())}
    return [there.get(name, Standing(name)) for name in chosen]


def group_row(target: Any, standing: Standing) -> list[Any]:
    """As a row among those of the log's groups."""
    heard = next(each.group.patterns for each in target.app.subscriptions if each.name == standing.group)
    told = [standing.lag, None, None, standing.dead, standing.members]
    waiting, retry, blocked, dead, members = ["-" if each is None else each for each in told]
    reason = f"hears {_place(target)} directly"
    return [standing.group, " ".join(heard), "direct", "-", waiting, retry, blocked, dead, members, "-", reason]


def group_document(target: Any, standing: Standing) -> dict[str, Any]:
    """As JSON; the broker that it hears stands only in these."""
    said = {"waiting": standing.lag, "dead": standing.dead, "members": standing.members}
    return {"name": standing.group, "state": "direct", "broker": _place(target)} | said


def letters(target: Any, group: str | None = None) -> list[DeadLetter]:
    """The dead letters of the direct groups, or of one."""
    if not target.direct or (group is not None and group not in target.direct):
        return []
    found = _asked(target, lambda broker: letters_of(broker, group))
    return [each for each in found if each.group in target.direct]


def letter_row(letter: DeadLetter) -> list[Any]:
    """As a row among those of the log's letters: it has no position, and nothing waits behind it."""
    event = letter.event
    return ["direct", letter.group, event.type, event.key, event.id, letter.attempts, "-", "-", letter.reason]


def letter_document(target: Any) -> dict[str, Any]:
    """What JSON says of such a letter beside the rest."""
    return {"broker": _place(target)}


def resolve(target: Any, events: Sequence[str], group: str | None, *, again: bool) -> list[tuple[str, int]]:
    """Hand dead letters of direct groups to them again, or drop them; none named: all. How many of which group.

    Raises:
        ConfigurationError: a group of these is named, and it has none of the named events.
    """
    there = letters(target, group)
    chosen = named(there, events) if events and group in target.direct else _those(there, events)
    if not chosen:
        return []
    found: list[tuple[str, int]] = call(target.at_broker, lambda broker: decided(broker, chosen, again=again))
    return found


def _those(letters: Sequence[DeadLetter], events: Sequence[str]) -> list[DeadLetter]:
    return [each for each in letters if not events or each.event.id in events]


def _asked(target: Any, ask: Callable[[Broker], Awaitable[list[Found]]]) -> list[Found]:
    """What the broker says. One that is away, or does not tell, leaves what the log says to be shown."""
    try:
        said: list[Found] = call(target.at_broker, ask)
    except NotSupported:
        return []
    except TidingsError as error:
        print(f"of the groups that hear the broker directly nothing is known: {error}", file=sys.stderr)
        return []
    return said


def _place(target: Any) -> str:
    return redacted(target.at_broker.url)
