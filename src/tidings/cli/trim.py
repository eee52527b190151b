"""`tidings trim`: what may be forgotten goes; and, with --dry-run, who holds the disk."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption, UrlOption, YesOption

_COLUMNS = ("pattern", "rule", "events", "size", "oldest", "goes", "frees", "held back")
_NUMBERS = ("events", "size", "goes", "frees")
_GOES = {"oldest": 1, "rule": 2}  # where the terminal is narrow


def trim(
    patterns: Annotated[list[str] | None, typer.Argument(metavar="[PATTERN]...", help="As in 'debug:**'.")] = None,
    age: Annotated[str | None, typer.Option(metavar="AGE", help="What is older goes, as in 30d.")] = None,
    size: Annotated[str | None, typer.Option(metavar="SIZE", help="The oldest go beyond it, as in '1 GB'.")] = None,
    consumed: Annotated[bool, typer.Option("--consumed", help="What all that hear it are done with goes.")] = False,
    streams: Annotated[bool, typer.Option("--streams", help="Events of streams too.")] = False,
    dead: Annotated[str | None, typer.Option(metavar="AGE", help="Older dead letters are dropped.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would go, and who holds the rest.")
    ] = False,
    shrink: Annotated[bool, typer.Option("--shrink", help="Then write the file anew, smaller; writers wait.")] = False,
    yes: YesOption = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """Trim the log by the application's rules, or by one given here.

    What a group has yet to hear or has set aside stays. The file does not shrink by itself: new events take the room.
    """
    from tidings.cli.target import find

    if dry_run and (yes or shrink):
        raise typer.BadParameter("--dry-run changes nothing: leave --yes and --shrink out")
    target = find(app, url)
    limits = {"age": age, "size": size, "consumed": consumed, "streams": streams, "dead": dead}
    rules = _rules(target, patterns or [], limits, dry_run or shrink)
    if dry_run:
        _tell(asyncio.run(_usage(target, rules)), as_json=as_json, header=not no_header)
    else:
        asyncio.run(_trim(target, rules, shrink, yes, as_json))


def _rules(target: Any, patterns: list[str], limits: dict[str, Any], may_be_none: bool) -> Any:
    from tidings import Retain
    from tidings.errors import ConfigurationError
    from tidings.log.retention import Retention

    given = any(limits[name] for name in ("age", "size", "consumed", "dead"))
    if given:
        return Retention(dict.fromkeys(patterns or ["**"], Retain(**limits)))
    if patterns:
        raise ConfigurationError("no limit is given: say --age, --size, --consumed or --dead for the patterns")
    rules = Retention({}) if target.app is None else target.app.retention
    if not rules.is_given and not may_be_none:
        raise ConfigurationError(
            "no rule says what may go: write App(retain={'debug:**': Retain(age='7d')}), or give one here, as in"
            " tidings trim 'debug:**' --age 7d"
        )
    return rules


async def _usage(target: Any, rules: Any) -> Any:
    from tidings.clock import SystemClock
    from tidings.log.trimming import usage

    async with target.looking() as log:
        return await usage(log, rules, SystemClock().now())


async def _trim(target: Any, rules: Any, shrink: bool, yes: bool, as_json: bool) -> None:
    from tidings.cli.asking import confirm
    from tidings.cli.output import counted
    from tidings.clock import SystemClock
    from tidings.log.trimming import usage

    async with target.log() as log:
        told = await usage(log, rules, SystemClock().now())
        goes = sum(share.goes.events for share in told.shares)
        question = f"{counted(goes, 'event')} of {log.url} will go for good. Go on?"
        if goes and not yes:
            confirm(question)
        gone = await _sweep(log, rules, goes)
        if shrink:
            await log.shrink()
        _tell_done(gone, await log.disk(), as_json)


async def _sweep(log: Any, rules: Any, of: int) -> Any:
    from tidings.cli.progress import progress
    from tidings.clock import SystemClock
    from tidings.log.census import Census
    from tidings.log.retention import Tally
    from tidings.log.trimming import sweep

    gone = Tally()
    with progress("trimming", "events") as tell:
        async for step in sweep(log, rules, Census(), SystemClock().now()):
            for tally in step.removed.values():
                gone.add(tally)
            tell(gone.events, of)
    return gone


def _tell(told: Any, *, as_json: bool, header: bool) -> None:
    from tidings.cli.output import Column, is_terminal, print_json, print_rows
    from tidings.cli.words import size

    if as_json:
        print_json(_document(told))
        return
    print_rows(
        [
            Column(
                name, name in _NUMBERS, name in ("pattern", "oldest"), name not in ("size", "frees"), _GOES.get(name, 0)
            )
            for name in _COLUMNS
        ],
        [_row(share) for share in told.shares],
        header=header,
    )
    if is_terminal():
        disk = told.disk
        print(
            f"The file has {size(disk.file)}, {size(disk.free)} of it free for new events; its -wal {size(disk.wal)}."
        )


def _row(share: Any) -> list[Any]:
    from tidings.cli.words import moment, size

    there, goes = share.there, share.goes
    held = "; ".join(f"{tally.events:,}: {holder}" for holder, tally in share.held.items())
    return [
        share.pattern,
        share.rule.removeprefix("Retain(").removesuffix(")"),
        there.events,
        size(there.bytes),
        moment(there.oldest / 1e6) if there.oldest else None,
        goes.events,
        size(goes.bytes),
        held or "-",
    ]


def _document(told: Any) -> dict[str, Any]:
    held = [
        [{"why": holder.why, "group": holder.group or None, "events": tally.events, "bytes": tally.bytes}
         for holder, tally in share.held.items()]
        for share in told.shares
    ]  # fmt: skip
    rules = [
        {"pattern": share.pattern, "rule": share.rule, "there": _counted(share.there), "goes": _counted(share.goes),
         "held": holders}
        for share, holders in zip(told.shares, held, strict=True)
    ]  # fmt: skip
    return {"disk": told.disk, "rules": rules}


def _counted(tally: Any) -> dict[str, Any]:
    from tidings.cli.words import moment

    oldest = moment(tally.oldest / 1e6) if tally.oldest else None
    return {"events": tally.events, "bytes": tally.bytes, "oldest": oldest}


def _tell_done(gone: Any, disk: Any, as_json: bool) -> None:
    from tidings.cli.output import counted, print_json
    from tidings.cli.words import size

    if as_json:
        print_json({"events": gone.events, "bytes": gone.bytes, "disk": disk})
        return
    room = f"; of the file's {size(disk.file)}, {size(disk.free)} are free for new events"
    print(f"{counted(gone.events, 'event')} trimmed, {size(gone.bytes)}{room}")
