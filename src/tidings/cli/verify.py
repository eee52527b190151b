"""`tidings verify`: is everything there, as it was written?"""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption, UrlOption


def verify(
    backup: Annotated[Path | None, typer.Option(metavar="FILE", help="A backup of the log instead of it.")] = None,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """Read the whole log and check it: checksums, streams, indexes, the file itself, what groups have set aside.

    Exits with 1 when something is wrong, and says where and what to do.
    """
    from tidings.cli.output import counted, print_json
    from tidings.cli.target import find

    events, findings = asyncio.run(_verify(find(app, url), backup))
    if as_json:
        print_json({"events": events, "findings": findings})
    elif findings:
        _tell(findings, header=not no_header)
    else:
        print(f"{counted(events, 'event')}, and all is sound")
    if findings:
        raise typer.Exit(1)


async def _verify(target: Any, backup: Path | None) -> tuple[int, list[Any]]:
    async with target.looking() as log:
        return await examine(log, backup)


async def examine(log: Any, backup: Path | None) -> tuple[int, list[Any]]:
    """How many events were looked at, and what was found; with a bar."""
    from tidings.cli.progress import progress

    findings: list[Any] = []
    events = 0
    with progress("verifying", "events") as tell:
        async for step in log.verify(backup):
            findings += step.flaws
            events = step.events
            tell(events, step.of)
    return events, findings


def _tell(findings: list[Any], *, header: bool) -> None:
    import sys

    from tidings.cli.output import Column, counted, is_terminal, print_header

    if header and not is_terminal():
        print_header([Column("position"), Column("what")])
    for finding in findings:
        print(f"{finding.position or '-'}\t{finding.what}")
    print(f"{counted(len(findings), 'thing')} wrong. What to do:", file=sys.stderr)
    for cure in dict.fromkeys(finding.cure for finding in findings):
        print(f"- {cure}", file=sys.stderr)
