"""`tidings import`: lines of CloudEvents into a log. The file has another name because Python wants that word."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption


def import_(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="JSON Lines; - is the input.")] = "-",
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record events from JSON Lines, a CloudEvent each; --url makes a new log if there is none.

    What is recorded already is passed over: after a failure, do the same again. Exits with 1 when a line was wrong.
    """
    from tidings.cli.output import counted, print_json
    from tidings.cli.target import Target, find

    target = Target(None, None, url) if url is not None and app is None else find(app, url)
    lines, new, wrong = asyncio.run(_imported(target, file))
    if as_json:
        print_json({"lines": lines, "new": new, "wrong": wrong})
    else:
        print(f"{counted(lines, 'line')} read, {counted(new, 'event')} recorded, {counted(wrong, 'line')} wrong")
    if wrong:
        raise typer.Exit(1)


async def _imported(target: Any, file: str) -> tuple[int, int, int]:
    if file == "-":
        return await _import(target, sys.stdin.buffer, None)
    from tidings.errors import ConfigurationError

    try:
        source = Path(file).open("rb")  # noqa: ASYNC230, SIM115  # this program does nothing else meanwhile
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    with source:
        return await _import(target, source, Path(file).stat().st_size)  # noqa: ASYNC240  # likewise


async def _import(target: Any, source: BinaryIO, size: int | None) -> tuple[int, int, int]:
    from tidings.cli.progress import progress
    from tidings.log.transfer import imported, lines_of

    lines = new = wrong = 0
    async with target.log() as log:
        with progress("importing", "bytes" if size else "lines") as tell:
            async for part in imported(log, lines_of(source)):
                lines, new, wrong = lines + part.lines, new + part.new, wrong + len(part.wrong)
                for one in part.wrong:
                    print(f"line {one.line}: {one.reason}", file=sys.stderr)
                tell(source.tell() if size else lines, size)
    return lines, new, wrong
