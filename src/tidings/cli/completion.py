"""What the shell completes: commands and options by themselves, groups and events as far as they are known cheaply."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

_MOST = 500  # names; nobody reads more
_GROUPS = "SELECT name FROM tidings_groups WHERE patterns != '[]' ORDER BY name LIMIT ?"
_TYPES = "SELECT DISTINCT type FROM (SELECT type FROM tidings_events ORDER BY position DESC LIMIT 10000) LIMIT ?"


class Item(NamedTuple):
    """One word that may stand there, as typer takes it."""

    value: str
    type: str = "plain"
    help: str | None = None


def complete(parameter: Any) -> None:
    """Have a command's parameter completed, if it is one that names groups or events."""
    source = _source_of(parameter)
    if source is not None:
        parameter.shell_complete = lambda context, incomplete: _items(source, context, incomplete)


def _source_of(parameter: Any) -> "Callable[[Any], Iterable[str]] | None":
    word = str(parameter.metavar or parameter.name).strip("[].").upper()
    if word == "GROUP" or parameter.name == "group":
        return _groups
    if word == "PATTERN" or (word == "NAME" and parameter.name == "name" and parameter.param_type_name == "argument"):
        return _events
    return None


def _items(source: "Callable[[Any], Iterable[str]]", context: Any, incomplete: str) -> list[Item]:
    """The names that begin so. A shell waits for no explanation: what fails completes nothing."""
    names: Iterable[str] = ()
    with contextlib.suppress(Exception):
        names = source(_target(context))
    return [Item(name) for name in sorted(set(names)) if name.startswith(incomplete)]


def _target(context: Any) -> Any:
    from tidings.cli.target import find

    return find(context.params.get("app"), context.params.get("url"))


def _groups(target: Any) -> Iterable[str]:
    declared = [] if target.app is None else [each.name for each in target.app.subscriptions]
    return [*declared, *_ask(target.url, _GROUPS)]


def _events(target: Any) -> Iterable[str]:
    declared = [] if target.app is None else [each.name for each in target.app.catalog()]
    return [*declared, *_ask(target.url, _TYPES)]


def _ask(url: str, question: str) -> list[str]:
    """Names from a file on disk, read beside whoever works on it."""
    from tidings.log.sqlite.inspection import looking_into, path_of

    path = path_of(url)
    if path is None or not path.exists():
        return []
    with looking_into(path) as file:
        return [name for (name,) in file.execute(question, (_MOST,))]
