"""`tidings dead`: the dead letters, and what becomes of them."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption, YesOption

dead = typer.Typer(no_args_is_help=True, help="Dead letters: look at them, try them again, let them go.")
EventArguments = Annotated[list[str] | None, typer.Argument(metavar="[EVENT]...", help="Ids or positions.")]
GroupOption = Annotated[str | None, typer.Option("--group", help="Only of this group.")]
AllOption = Annotated[bool, typer.Option("--all", help="All there are (of the group).")]


@dead.command("list", epilog="Example: tidings dead list --group shop.show")
def list_letters(
    group: GroupOption = None, app: AppOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """List dead letters, oldest first."""
    from tidings.cli.letters import FIELDS, document, letters, row
    from tidings.cli.output import Column, print_json, print_rows
    from tidings.cli.target import find

    found = asyncio.run(letters(find(app, url), group))
    if as_json:
        for letter in found:
            print_json(document(letter))
        return
    columns = [
        Column(name, name in ("calls", "behind"), name == "id", name not in ("position", "dead since"))
        for name in FIELDS
    ]
    print_rows(columns, [row(letter) for letter in found], nothing="No dead letters.")


@dead.command(epilog="Example: tidings dead show 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11")
def show(
    event: Annotated[str, typer.Argument(help="Id or position.")],
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one: the event, why it is dead, and where the handler failed."""
    from tidings.cli.letters import chosen, document, facts, letters
    from tidings.cli.output import print_facts, print_json
    from tidings.cli.target import find

    for letter in chosen(asyncio.run(letters(find(app, url), group)), [event], everything=False):
        if as_json:
            print_json(document(letter))
            continue
        print_facts(facts(letter))
        print(letter.parked.detail.rstrip())


@dead.command(epilog="Example: tidings dead retry --all --group shop.show")
def retry(
    events: EventArguments = None,
    everything: AllOption = False,
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Try dead letters again, now; those waiting behind them follow."""
    from tidings.cli.letters import retry

    _settle(app, url, group, events, everything, retry, "to be tried again")


@dead.command(epilog="Example: tidings dead skip 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11")
def skip(
    events: EventArguments = None,
    everything: AllOption = False,
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Give dead letters up for their group; those waiting behind them go on. The log keeps the events."""
    from tidings.cli.letters import skip

    _settle(app, url, group, events, everything, skip, "skipped")


@dead.command(epilog="Example: tidings dead drop 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11 --yes")
def drop(
    events: EventArguments = None,
    everything: AllOption = False,
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
    yes: YesOption = False,
) -> None:
    """Give dead letters up for their group, and all that waits behind them. The log keeps the events."""
    from tidings.cli.letters import drop

    if not yes:
        typer.confirm("Give them up, and all that waits behind them?", abort=True)
    _settle(app, url, group, events, everything, drop, "dropped, those behind included")


def _settle(
    app: str | None, url: str | None, group: str | None, events: Any, everything: bool, change: Any, told: str
) -> None:
    from tidings.cli.letters import settle
    from tidings.cli.target import find

    for name, count, is_at_work in asyncio.run(settle(find(app, url), group, events or [], everything, change)):
        print(f"{name}: {count} {told}{'' if is_at_work else '; nobody runs this group now'}")
