"""`tidings tail`: what the log holds, and what comes."""

import asyncio
import contextlib
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption


def tail(
    patterns: Annotated[list[str] | None, typer.Argument(metavar="[PATTERN]...", help="As in 'order:*'.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="earliest (default), latest (default with -f), position or time."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show events: time, position, name, key, id and data; as CloudEvents with --json."""
    from tidings.cli.target import find

    asyncio.run(
        _tail(find(app, url), patterns or ["**"], start or ("latest" if follow else "earliest"), limit, follow, as_json)
    )


async def _tail(target: Any, patterns: list[str], start: str, limit: int | None, follow: bool, as_json: bool) -> None:
    from tidings.log.places import events, position

    show, count = _shower(as_json), 0
    async with target.log() as log:
        found = events(log, patterns, after=await position(log, start), follow=follow)
        async with contextlib.aclosing(found):
            async for event in found:
                show(event)
                count += 1
                if count == limit:
                    return


def _shower(as_json: bool) -> Any:
    from tidings.cli.output import is_terminal

    if as_json:
        return _show_json
    if not is_terminal():
        return _show_plain
    from rich.console import Console
    from rich.text import Text

    console = Console()

    def show(event: Any) -> None:
        time, place, name, key, _, data = _fields(event)
        line = Text.assemble(
            (f"{time} ", "dim"), (f"{place} ", "dim"), (name, "bold cyan"), (f" {key} ", "green"), data
        )
        console.print(line, soft_wrap=True)

    return show


def _show_json(event: Any) -> None:
    from tidings.events import to_cloudevent

    print(to_cloudevent(event).decode(), flush=True)


def _show_plain(event: Any) -> None:
    print("\t".join(_fields(event)), flush=True)


def _fields(event: Any) -> list[str]:
    from tidings.cli.words import data_text

    time = event.recorded_at.astimezone().isoformat(timespec="milliseconds")
    name = event.type if event.version == 1 else f"{event.type}.v{event.version}"
    return [time, event.position, name, event.key or event.stream or "-", event.id, data_text(event)]
