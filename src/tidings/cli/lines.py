"""`tidings publish --stdin`: every line of the input an event, and a count at the end."""

import asyncio
import contextlib
import sys
from typing import Any

import typer

from tidings import App
from tidings.cli.output import counted, print_json
from tidings.errors import InvalidLine
from tidings.integrations.lines import LinesIn, LinesReport

_TOLD = 20  # bad lines told one by one; the rest is counted


def publish_lines(target: Any, name: str | None, *, strict: bool, rejects: str | None, as_json: bool) -> None:
    """Publish the input, tell how many lines that were, and exit with 1 where some were bad."""
    told: list[int] = []

    def tell(refused: InvalidLine) -> None:
        told.append(refused.number)
        if len(told) <= _TOLD:
            print(f"tidings: {refused}", file=sys.stderr)

    lines = LinesIn(type=name, strict=strict, rejects=rejects, on_reject=tell)
    try:
        asyncio.run(_publish(target, lines))
    except InvalidLine:  # told already
        pass
    _tell(lines.report, rejects, as_json)
    if lines.report.rejected:
        raise typer.Exit(1)


async def _publish(target: Any, lines: LinesIn) -> None:
    app = target.app or App("tidings-cli", target.url)
    async with contextlib.nullcontext() if target.is_broker else target.log(), app:
        await lines.run(app)


def _tell(report: LinesReport, rejects: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"published": report.published, "rejected": report.rejected})
        return
    print(f"published {counted(report.published, 'event')}", flush=True)
    if report.rejected:
        where = f", written to {rejects}" if rejects else ""
        print(f"tidings: {counted(report.rejected, 'line')} not published{where}", file=sys.stderr)
