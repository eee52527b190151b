"""`tidings groups`: who reads, how far, and what is set aside."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption, YesOption

groups = typer.Typer(invoke_without_command=True, epilog="Example: tidings groups --app shop:app --json")
NameArgument = Annotated[str, typer.Argument(metavar="GROUP")]


@groups.callback()
def list_groups(
    context: typer.Context, app: AppOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """List groups: state, position, lag, what waits to be tried again, what is blocked or dead, and who is at work."""
    from tidings.cli.output import Column, print_json, print_rows
    from tidings.cli.target import find

    if context.invoked_subcommand is not None:
        return
    found = asyncio.run(_groups(find(app, url)))
    if as_json:
        for group in found:
            print_json(group)
        return
    names = ("group", "hears", "state", "position", "lag", "retry", "blocked", "dead", "members")
    columns = [Column(name, name in ("lag", "retry", "blocked", "dead"), name == "group") for name in names]
    print_rows(columns, [_row(group) for group in found], nothing="No groups yet: 'tidings run' makes them.")


@groups.command(epilog="Example: tidings groups pause shop.show")
def pause(group: NameArgument, app: AppOption = None, url: UrlOption = None) -> None:
    """Have a group stop, wherever it runs; nothing is lost meanwhile."""
    from tidings.cli.target import find

    asyncio.run(_change(find(app, url), lambda ledger: ledger.set_state(group, "paused")))
    print(f"{group} is paused: 'tidings groups resume {group}' lets it go on")


@groups.command(epilog="Example: tidings groups resume shop.show")
def resume(group: NameArgument, app: AppOption = None, url: UrlOption = None) -> None:
    """Let a paused group go on."""
    from tidings.cli.target import find

    asyncio.run(_change(find(app, url), lambda ledger: ledger.set_state(group, "live")))
    print(f"{group} goes on")


@groups.command(epilog="Example: tidings groups delete shop.show --yes")
def delete(group: NameArgument, app: AppOption = None, url: UrlOption = None, yes: YesOption = False) -> None:
    """Forget a group that no application has any more, with all it has set aside."""
    from tidings.cli.target import find

    if not yes:
        typer.confirm(f"Forget {group}, its position and its dead letters?", abort=True)
    asyncio.run(_change(find(app, url), lambda ledger: ledger.forget(group)))
    print(f"{group} is forgotten")


async def _groups(target: Any) -> list[Any]:
    async with target.log() as log:
        found: list[Any] = await log.ledger.groups()
        return found


async def _change(target: Any, change: Any) -> None:
    async with target.log() as log:
        await change(log.ledger)


def _row(group: Any) -> list[Any]:
    return [
        group.name,
        " ".join(group.patterns),
        group.state,
        group.position or "earliest",
        group.lag,
        group.retry,
        group.blocked,
        group.dead,
        " ".join(group.members) or "-",
    ]
