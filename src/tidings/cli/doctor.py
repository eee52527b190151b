"""`tidings doctor`: what is wrong, and the cure."""

import os
from typing import Any

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption, UrlOption


def doctor(
    app: AppOption = None, url: UrlOption = None, as_json: JsonOption = False, no_header: HeaderOption = False
) -> None:
    """Look for what is wrong with an application, its log and its surroundings, and say the cure.

    Nothing is changed, and it may run meanwhile. Exits with 1 when there is an error or a warning; a note alone may be
    meant so.
    """
    from tidings.doctor import examine

    found = examine(_facts(app, url))
    _tell(found, as_json=as_json, header=not no_header)
    if any(each.severity != "note" for each in found):
        raise typer.Exit(1)


def _facts(app: str | None, url: str | None) -> Any:
    from tidings.cli.target import VARIABLES, configured, find
    from tidings.doctor import gather
    from tidings.errors import TidingsError

    is_named = app is not None or url is not None
    try:
        named = configured()
        target = find(app, url)
    except TidingsError as trouble:
        said = next(filter(None, map(os.environ.get, VARIABLES)), None)
        return gather(url=url if is_named else said, trouble=trouble, is_named=is_named)
    return gather(target.app, name=target.name, url=target.url, is_named=is_named, configured=named)


def _tell(found: list[Any], *, as_json: bool, header: bool) -> None:
    from tidings.cli.output import Column, is_terminal, print_json, print_rows

    if as_json:
        for each in found:
            print_json(each)
    elif not found:
        print("Nothing found.")
    elif is_terminal():
        _show(found)
    else:
        columns = [Column(name) for name in ("severity", "subject", "what", "cure")]
        print_rows(columns, [(each.severity, each.subject, each.what, each.cure) for each in found], header=header)


def _show(found: list[Any]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from tidings.cli.output import counted

    console = Console(highlight=False)
    tones = {"error": "bold red", "warning": "bold yellow", "note": "bold"}
    for each in found:
        console.print(Text.assemble((each.severity, tones[each.severity]), "  ", each.subject))
        console.print(Padding(Text(each.what), (0, 0, 0, 2)))
        console.print(Padding(Text(f"→ {each.cure}", "cyan"), (0, 0, 1, 2)))
    counts = {tone: sum(each.severity == tone for each in found) for tone in tones}
    console.print(", ".join(counted(count, tone) for tone, count in counts.items() if count))
