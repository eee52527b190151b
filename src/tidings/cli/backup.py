"""`tidings backup`: a copy of the log as it is at one moment, while everybody goes on writing."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file; one that exists is not overwritten.")],
    verify: Annotated[bool, typer.Option("--verify", help="Then read it all, and check it.")] = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the log to a file. What was recorded before is in it.

    To restore it, put it in the log's place and remove the folder FILE-tidings beside that: a new epoch begins.
    """
    from tidings.cli.output import print_json
    from tidings.cli.target import find
    from tidings.cli.words import size

    events = asyncio.run(_backup(find(app, url), file, verify))
    taken = file.stat().st_size
    if as_json:
        print_json({"file": str(file), "bytes": taken, "verified": events})
    else:
        checked = "" if events is None else f"; {events:,} events in it, and all is sound"
        print(f"{file} is written, {size(taken)}{checked}")


async def _backup(target: Any, file: Path, verify: bool) -> int | None:
    from tidings.cli.progress import progress
    from tidings.cli.verify import examine
    from tidings.errors import LogDamaged

    async with target.log() as log:
        with progress("copying", "pages") as tell:
            await log.backup(file, tell)
        if not verify:
            return None
        events, findings = await examine(log, file)
    if findings:
        places = [finding.position for finding in findings if finding.position]
        raise LogDamaged(findings[0].what, places, path=str(file))
    return events
