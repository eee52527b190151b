"""`tidings export`: the log as lines of CloudEvents."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from tidings.cli.options import AppOption, UrlOption


def export(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A new file; - is the output.")] = "-",
    types: Annotated[
        list[str] | None, typer.Option("--types", metavar="PATTERN", help="Only these; repeatable.")
    ] = None,
    after: Annotated[str, typer.Option(metavar="PLACE", help="earliest, a position or a time.")] = "earliest",
    upto: Annotated[str, typer.Option(metavar="PLACE", help="latest, a position or a time.")] = "latest",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a file that was cut short.")] = False,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out what is not as it was written, and say so.")
    ] = False,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Write events as JSON Lines, a CloudEvent each, in the log's order."""
    from tidings.cli.output import counted
    from tidings.cli.target import find

    target = find(app, url)
    if file == "-":
        asyncio.run(_export(target, sys.stdout.buffer, types, after, upto, skip_damaged))
        return
    with _opened(Path(file), resume) as out:
        place = _resumed(out) if resume else None
        count = asyncio.run(_export(target, out, types, place or after, upto, skip_damaged))
        out.flush()
        os.fsync(out.fileno())
    print(f"{counted(count, 'event')} written to {file}", file=sys.stderr)


def _opened(path: Path, resume: bool) -> BinaryIO:
    from tidings.errors import ConfigurationError

    try:
        return path.open("r+b" if resume else "xb")
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists and is not overwritten: name another file, or go on with this one by --resume"
        ) from None
    except FileNotFoundError:
        raise ConfigurationError(f"{path} cannot be found: check its folder, and leave --resume out at first") from None


def _resumed(out: BinaryIO) -> str | None:
    """Cut off what is not whole; the position to go on behind."""
    from tidings.log.transfer import last_position, whole_lines

    end, line = whole_lines(out)
    out.truncate(end)
    out.seek(end)
    return last_position(line) if end else None


async def _export(
    target: Any, out: BinaryIO, types: list[str] | None, after: str, upto: str, skip_damaged: bool
) -> int:
    from tidings.cli.progress import progress
    from tidings.log.places import position
    from tidings.log.position import order_in
    from tidings.log.transfer import exported

    async with target.looking() as log:
        start, end = await position(log, after), await position(log, upto)
        first, count = order_in(start), 0
        with progress("exporting", "places") as tell:
            async for part in exported(log, types or ["**"], after=start, upto=end, skip_damaged=skip_damaged):
                out.write(part.lines)
                count += part.events
                for damaged in part.damaged:
                    print(f"{damaged} is damaged and left out", file=sys.stderr)
                tell(order_in(part.upto) - first, order_in(end) - first)
    return count
