"""`tidings timers`: what is to happen later, and having it not happen."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption, UrlOption

timers = typer.Typer(invoke_without_command=True, epilog="Example: tidings timers --app shop:app --json")
_ALL = 1_000_000
_FIELDS = ("due", "event", "key", "every", "id")


@timers.callback()
def list_timers(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="So many, the next ones.")] = 100,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """List what is scheduled, the next first: delayed events, and when functions are called again."""
    from tidings.cli.output import Column, print_json, print_rows
    from tidings.cli.target import find

    if context.invoked_subcommand is not None:
        return
    found = asyncio.run(_waiting(find(app, url), limit))
    if as_json:
        for timer in found:
            print_json(_document(timer))
        return
    goes = {"key": 1, "every": 2}
    columns = [Column(name, is_whole=name in ("due", "id"), goes=goes.get(name, 0)) for name in _FIELDS]
    print_rows(columns, [_row(timer) for timer in found], nothing="Nothing is scheduled.", header=not no_header)


@timers.command(epilog="Example: tidings timers cancel 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11")
def cancel(
    event: Annotated[str, typer.Argument(metavar="ID", help="Of a delayed event.")],
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Have a delayed event never take place."""
    from tidings.cli.target import find
    from tidings.errors import ConfigurationError

    if not asyncio.run(_cancel(find(app, url), event)):
        raise ConfigurationError(f"no delayed event {event} waits: 'tidings timers' shows those that do")
    print(f"{event} is cancelled")


async def _waiting(target: Any, limit: int) -> list[Any]:
    async with target.looking() as log:
        found: list[Any] = await log.ledger.timers.waiting(limit)
        return found


async def _cancel(target: Any, event: str) -> bool:
    async with target.log() as log:
        waiting = await log.ledger.timers.waiting(_ALL)
        sources = [timer.draft.source for timer in waiting if timer.draft.id == event]
        return any([await log.ledger.timers.cancel(event, source) for source in sources])


def _row(timer: Any) -> list[Any]:
    from tidings.log.record import from_microseconds

    due = from_microseconds(timer.due)
    return [due, timer.draft.type, timer.draft.key, timer.spec.removeprefix("every ") or None, timer.draft.id]


def _document(timer: Any) -> dict[str, Any]:
    from tidings.log.record import from_microseconds

    it = timer.draft
    described = {"id": it.id, "source": it.source, "type": it.type, "version": it.version, "key": it.key}
    return {"due": from_microseconds(timer.due), **described, "every": timer.spec or None}
