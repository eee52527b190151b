"""`tidings replay`: a group hears again."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, UrlOption, YesOption


def replay(
    group: Annotated[str, typer.Argument(help="The group, as 'tidings groups' names it.")],
    to: Annotated[str, typer.Option("--to", metavar="PLACE", help="earliest, a position, or a time.")],
    yes: YesOption = False,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Move a group to another place in the log, from where it hears everything again.

    What it had set aside is forgotten: it comes again too, or lies behind the place.
    """
    from tidings.cli.target import find

    asyncio.run(_replay(find(app, url), group, to, yes))


async def _replay(target: Any, group: str, to: str, yes: bool) -> None:
    from tidings.cli.output import counted
    from tidings.cli.place import position

    async with target.log() as log:
        status = await _status(log, group)
        place = await position(log, to)
        again, parked = await _count(log, status, place), status.retry + status.blocked + status.dead
        does = (
            f"hear {counted(again, 'event')} again"
            if place <= status.position
            else f"pass over {counted(again, 'event')}"
        )
        forgets = f", and forget {parked} set aside" if parked else ""
        if not yes and not await asyncio.to_thread(typer.confirm, f"{group} will {does}{forgets}. Go on?"):
            raise typer.Exit(1)
        await log.ledger.reset(group, place)
        idle = "" if status.members else "; nobody runs it now"
        print(f"{group} will {does}{forgets}{idle}")


async def _status(log: Any, group: str) -> Any:
    from tidings.errors import ConfigurationError

    for status in await log.ledger.groups():
        if status.name == group:
            return status
    raise ConfigurationError(f"there is no group {group!r}: 'tidings groups' lists those there are")


async def _count(log: Any, status: Any, place: str) -> int:
    from tidings.cli.place import count

    first, last = sorted((place, status.position))
    return await count(log, status.patterns, after=first, upto=last)
