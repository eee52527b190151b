"""`tidings tail`: what the log holds, and what comes. On a terminal an event is a line, and no longer than that."""

import asyncio
import contextlib
from functools import partial
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption, UrlOption

_FIELDS = ("time", "position", "name", "key", "id", "data")


def tail(
    patterns: Annotated[list[str] | None, typer.Argument(metavar="[PATTERN]...", help="As in 'order:*'.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="earliest (default), latest (default with -f), position or time."),
    ] = None,
    last: Annotated[int | None, typer.Option("--last", "-n", min=1, help="Begin with the last so many.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """Show events: time, position, name, key, id and data; as CloudEvents with --json.

    A terminal shows as much of each as a line holds, without the id; 'tidings show' has the whole.
    """
    from tidings.cli.target import find

    if start is not None and last is not None:
        raise typer.BadParameter("--from and --last both say where to begin: leave one out")
    target = find(app, url)
    shower = partial(_shower, as_json=as_json, header=not no_header)
    if target.is_broker:
        from tidings.cli.on_broker import follow as follow_broker
        from tidings.cli.on_broker import refuse

        if start not in (None, "latest") or last is not None:
            raise refuse("beginning in the past")
        asyncio.run(follow_broker(target, patterns or ["**"], limit, shower))
        return
    asyncio.run(_tail(target, patterns or ["**"], (start, last), limit, follow=follow, shower=shower))


async def _tail(
    target: Any,
    patterns: list[str],
    begin: tuple[str | None, int | None],
    limit: int | None,
    *,
    follow: bool,
    shower: Any,
) -> None:
    from tidings.log.places import before_last, events, position

    (start, last), count = begin, 0
    async with target.looking() as log:
        if last is not None:
            after = await before_last(log, patterns, last)
        else:
            after = await position(log, start or ("latest" if follow else "earliest"))
        show = shower()
        found = events(log, patterns, after=after, follow=follow)
        async with contextlib.aclosing(found):
            async for event in found:
                show(event)
                count += 1
                if count == limit:
                    return


def _shower(*, as_json: bool, header: bool) -> Any:
    from tidings.cli.output import Column, is_terminal, print_header

    if as_json:
        return _show_json
    if is_terminal():
        return _painter()
    if header:
        print_header([Column(name) for name in _FIELDS])
    return _show_plain


def _painter() -> Any:
    from rich.console import Console
    from rich.text import Text

    from tidings.cli.words import moment
    from tidings.clock import SystemClock

    console, today = Console(highlight=False), moment(SystemClock().now()).astimezone().date()

    def show(event: Any) -> None:
        time, place, name, key, _, data = _fields(event)
        here = None if time is None else time.astimezone()
        shape = "%H:%M:%S.%f" if here is not None and here.date() == today else "%Y-%m-%d %H:%M:%S.%f"
        shown = "-" if here is None else here.strftime(shape)[:-3]
        line = Text.assemble(
            (f"{shown} ", "dim"), (f"{place} ", "dim"), (name, "bold cyan"), (f" {key} ", "green"), data
        )
        console.print(line, no_wrap=True, overflow="ellipsis")

    return show


def _show_json(event: Any) -> None:
    from tidings.events import to_cloudevent

    print(to_cloudevent(event).decode(), flush=True)


def _show_plain(event: Any) -> None:
    from tidings.cli.output import plain

    print("\t".join(map(plain, _fields(event))), flush=True)


def _fields(event: Any) -> list[Any]:
    from tidings.cli.words import data_text

    name = event.type if event.version == 1 else f"{event.type}.v{event.version}"
    return [
        event.recorded_at or event.time,
        event.position or "-",
        name,
        event.key or event.stream or "-",
        event.id,
        data_text(event),
    ]
