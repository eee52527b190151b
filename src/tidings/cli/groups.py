"""`tidings groups`: who reads, how far behind and why, and what operators do about it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption, UrlOption, YesOption

groups = typer.Typer(invoke_without_command=True, epilog="Example: tidings groups --app shop:app --json")
NamesArgument = Annotated[list[str], typer.Argument(metavar="GROUP...", help="Names, or patterns as in 'shop.*'.")]
SomeNamesArgument = Annotated[list[str] | None, typer.Argument(metavar="[GROUP]...", help="Names, or patterns.")]
PlaceOption = Annotated[
    str, typer.Option("--to", metavar="PLACE", help="earliest, latest, a position, a time, or '2h ago'.")
]
_FIELDS = ("group", "hears", "state", "position", "waiting", "retry", "blocked", "dead", "members", "behind", "reason")
_NUMBERS = ("waiting", "retry", "blocked", "dead", "behind")
_HIDDEN = ("hears", "position", "members")  # on a terminal
_GOES = {"behind": 1, "retry": 2, "blocked": 3, "state": 4, "waiting": 5}  # where it is narrow
WatchOption = Annotated[bool, typer.Option("--watch", help="Show them anew every two seconds, until Ctrl-C.")]


@groups.callback()
def groups_alone(
    context: typer.Context,
    watch: WatchOption = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """Groups: how far behind each is and why, who runs it, and what it has set aside. Alone it lists them.

    waiting counts the events a group hears and has yet to come to ('<' where it is at most so many), behind is the age
    of the oldest of them. In JSON there is also lag, the distance to the head in events of any kind.
    """
    if context.invoked_subcommand is None:
        _list([], app, url, as_json=as_json, header=not no_header, watch=watch)


@groups.command("list", epilog="Example: tidings groups list 'shop.*' --json")
def list_groups(
    names: SomeNamesArgument = None,
    watch: WatchOption = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """List groups: state, position, how far behind and why, what is set aside, and who is at work."""
    _list(names or [], app, url, as_json=as_json, header=not no_header, watch=watch)


@groups.command(epilog="Example: tidings groups pause shop.show --why 'the gateway is being moved'")
def pause(
    names: NamesArgument,
    why: Annotated[str, typer.Option("--why", help="Shown to whoever looks at the group.")] = "by an operator",
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Have groups stop, wherever they run; nothing is lost meanwhile."""
    for name in _call(app, url, lambda groups: groups.pause(*names, why=why)):
        print(f"{name} is paused: 'tidings groups resume {name}' lets it go on")


@groups.command(epilog="Example: tidings groups resume 'shop.*'")
def resume(names: NamesArgument, app: AppOption = None, url: UrlOption = None) -> None:
    """Let paused groups go on."""
    for name in _call(app, url, lambda groups: groups.resume(*names)):
        print(f"{name} goes on")


@groups.command(epilog="Example: tidings groups reset shop.show --to '2h ago'")
def reset(
    names: NamesArgument, to: PlaceOption, yes: YesOption = False, app: AppOption = None, url: UrlOption = None
) -> None:
    """Move groups to another place in the log, from where they hear everything again.

    What they had set aside is forgotten: it comes again too, or lies behind the place.
    """
    from tidings.cli.moving import move

    move(names, to, yes=yes, app=app, url=url)


@groups.command(epilog="Example: tidings groups delete shop.show --yes")
def delete(
    names: NamesArgument,
    force: Annotated[bool, typer.Option("--force", help="Even if members run it; they stop.")] = False,
    yes: YesOption = False,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Forget groups that no application has any more, with all they have set aside.

    Patterns are of the log's groups; one that hears a broker directly beside a log goes by its whole name.
    """
    from tidings.cli.asking import confirm

    if not yes:
        confirm(f"Forget {', '.join(names)}, with positions and dead letters?")
    for name in _forgotten(names, app, url, force=force):
        print(f"{name} is forgotten")


def _forgotten(names: list[str], app: str | None, url: str | None, *, force: bool) -> Iterator[str]:
    from tidings.cli.on_broker import forget
    from tidings.cli.target import find

    target = find(app, url)
    if target.is_broker:
        yield from forget(target, names)
        return
    direct = [name for name in names if name in target.direct]
    others = [name for name in names if name not in target.direct]
    if others:
        yield from _call(app, url, lambda groups: groups.delete(*others, force=force))
    if direct:
        yield from forget(target.at_broker, direct)


def _list(names: list[str], app: str | None, url: str | None, *, as_json: bool, header: bool, watch: bool) -> None:
    from tidings.cli.on_both import group_document, standings
    from tidings.cli.output import print_json
    from tidings.cli.target import find
    from tidings.cli.watching import watched

    target = find(app, url)
    if target.is_broker:
        from tidings.cli.on_broker import show_groups

        show_groups(target, names, as_json=as_json, header=header)
        return

    def look() -> Any:
        direct = standings(target, names) if target.direct else []
        heard = [name for name in names if name not in target.direct]
        if names and not heard:
            return [], direct
        return asyncio.run(_on_groups(target.looking(), target, lambda groups: groups.list(*heard))), direct

    if watch:
        watched(look, lambda found: _print(target, *found, header=header), as_json=as_json)
    found, direct = look()
    if not as_json:
        _print(target, found, direct, header=header)
        return
    for sight in found:
        print_json(_document(sight))
    for standing in direct:
        print_json(group_document(target, standing))


def _print(target: Any, found: Any, direct: Any, *, header: bool) -> None:
    from tidings.cli.on_both import group_row
    from tidings.cli.output import Column, print_rows

    columns = [
        Column(name, name in _NUMBERS, name == "group", name not in _HIDDEN, _GOES.get(name, 0), least=16)
        for name in _FIELDS
    ]
    rows = [*[_row(sight) for sight in found], *[group_row(target, standing) for standing in direct]]
    print_rows(columns, rows, nothing="No groups yet: 'tidings run' makes them.", header=header)


def _call(app: str | None, url: str | None, change: Callable[[Any], Awaitable[Any]]) -> Any:
    from tidings.cli.target import find

    target = find(app, url)
    return asyncio.run(_on_groups(target.log(), target, change))


async def _on_groups(opening: Any, target: Any, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    from tidings.handling.oversight.groups import Groups

    async with opening as log:
        subscriptions = () if target.app is None else target.app.subscriptions
        return await ask(Groups(log, subscriptions))


def _row(sight: Any) -> list[Any]:
    from tidings.handling.oversight.reason import span

    status, backlog = sight.status, sight.backlog
    return [
        status.name,
        " ".join(status.patterns),
        status.state,
        status.position or "earliest",
        backlog.events if backlog.is_exact else f"<{backlog.events}",
        status.retry,
        status.blocked,
        status.dead,
        " ".join(status.members) or "-",
        span(sight.seconds) if backlog.since is not None else "-",
        sight.reason,
    ]


def _document(sight: Any) -> dict[str, Any]:
    import msgspec

    from tidings.cli.words import moment

    facts = msgspec.structs.asdict(sight.status)
    hidden = ("note", "reports")
    return {
        **{name: value for name, value in facts.items() if name not in hidden},
        "last_seen": moment(sight.status.last_seen),
        "waiting": sight.backlog.events,
        "waiting_is_exact": sight.backlog.is_exact,
        "seconds": sight.seconds,
        "reason": sight.reason,
    }
