"""`tidings trace`: where an event comes from, what it caused, and who did what with it."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption


def trace(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Id, the beginning of one, or position.")],
    depth: Annotated[int, typer.Option(min=0, help="Causes and effects this far away.")] = 20,
    limit: Annotated[int, typer.Option(min=1, help="Events in all.")] = 200,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="The source of a Mermaid flowchart.")] = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trace an event: its causes and effects, and which group handled it when, how often and why.

    What groups did is kept for 7 days, or as App(lineage=...) says; what is parked is known for as long as it is.
    """
    from tidings.cli.output import print_json
    from tidings.cli.target import find
    from tidings.handling.trace import mermaid as drawn
    from tidings.handling.trace import tree

    found = asyncio.run(_trace(find(app, url), event, depth, limit))
    if as_json:
        print_json(found)
    else:
        print(drawn(found) if mermaid else tree(found))


async def _trace(target: Any, event: str, depth: int, limit: int) -> Any:
    from tidings.handling.trace import trace

    name = "" if target.app is None else target.app.name
    async with target.looking() as log:
        return await trace(log, event, app=name, depth=depth, limit=limit)
