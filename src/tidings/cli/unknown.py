"""An event that the application does not know: perhaps its name is misspelt."""

import difflib
from collections.abc import Iterable, Sequence

from tidings import App
from tidings.events import Pattern

_MOST = 5  # names told


def unknown(app: App, name: str, heard: Sequence[str]) -> str | None:
    """What to say of an event of this name, that these groups will hear; None when the application knows it.

    It knows the names of its contracts, and those that its handlers give in full. One without any contract may publish
    what it likes, unless the name is nearly one that is heard.
    """
    contracts = {each.name for each in app.catalog()}
    literal = {each for one in app.subscriptions for each in one.group.patterns if Pattern(each).literal}
    known = contracts | literal
    if name in known:
        return None
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.75)
    if not contracts and (heard or not close):
        return None
    said = f"{app.name} has no event {name!r}" if heard else f"nobody hears {name!r}"
    return f"{said}; {f'did you mean {_or(close)}?' if close else f'the events of {app.name} are {_some(known)}'}"


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _some(names: Iterable[str]) -> str:
    known = sorted(each for each in names if not each.startswith("tidings:"))
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return ", ".join(known[:_MOST]) + more
