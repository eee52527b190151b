"""`tidings dead`: the dead letters, and what becomes of them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption, UrlOption, YesOption

dead = typer.Typer(no_args_is_help=True, help="Dead letters: look at them, try them again, let them go.")
EventArguments = Annotated[list[str] | None, typer.Argument(metavar="[EVENT]...", help="Ids or positions.")]
GroupOption = Annotated[str | None, typer.Option("--group", help="Only of this group.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most so many; it says if there are more.")]
AllOption = Annotated[bool, typer.Option("--all", help="All there are (of the group).")]


@dead.command("list", epilog="Example: tidings dead list --group shop.show")
def list_letters(
    group: GroupOption = None,
    retrying: Annotated[
        bool, typer.Option("--retry", help="Those that will be tried again by themselves, instead.")
    ] = False,
    limit: LimitOption = 1000,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """List dead letters, oldest first; with --retry, what is not dead yet and waits for its next try."""
    from tidings.cli import on_both, on_broker
    from tidings.cli.letters import columns, document, row
    from tidings.cli.output import print_json, print_rows
    from tidings.cli.target import find
    from tidings.handling.oversight.letters import Found

    target = find(app, url)
    if target.is_broker:
        if retrying:
            raise on_broker.refuse("--retry")
        on_broker.show_letters(target, group, limit, as_json=as_json, header=not no_header)
        return
    state: Literal["retry", "dead"] = "retry" if retrying else "dead"
    direct = [] if retrying else on_both.letters(target, group)
    found = Found([]) if group in target.direct else _look(target, lambda letters: letters.list(group, limit, state))
    more = found.more + max(len(found.letters) + len(direct) - limit, 0)
    shown = direct[: max(limit - len(found.letters), 0)]
    if more:
        print(f"{more:,} more are not shown: --limit {limit + more} shows all", file=sys.stderr)
    if as_json:
        for letter in found.letters:
            print_json(document(letter))
        for other in shown:
            print_json(on_broker.document(other) | on_both.letter_document(target))
        return
    nothing = "Nothing waits for its next try." if retrying else "No dead letters."
    rows = [*[row(letter) for letter in found.letters], *[on_both.letter_row(other) for other in shown]]
    print_rows(columns(retrying=retrying), rows, nothing=nothing, header=not no_header)


@dead.command(epilog="Example: tidings dead show 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11")
def show(
    event: Annotated[str, typer.Argument(help="Id or position.")],
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is set aside of an event, dead or to be tried again: why, when next, and where the handler failed."""
    from tidings.cli import on_both, on_broker
    from tidings.cli.letters import document, facts
    from tidings.cli.output import print_facts, print_json
    from tidings.cli.target import find

    target = find(app, url)
    if target.is_broker:
        on_broker.show_letter(target, event, group, as_json=as_json)
        return
    direct = [letter for letter in on_both.letters(target, group) if letter.event.id == event]
    for other in direct:
        if as_json:
            print_json(on_broker.document(other) | on_both.letter_document(target))
        else:
            on_broker.print_letter(other)
    for letter in _aside(target, event, group, is_elsewhere=bool(direct)):
        if as_json:
            print_json(document(letter))
            continue
        print_facts(facts(letter))
        print(letter.parked.detail.rstrip())


@dead.command(epilog="Example: tidings dead retry --all --group shop.show")
def retry(
    events: EventArguments = None,
    everything: AllOption = False,
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Try dead letters again, now; those waiting behind them follow."""
    names = _chosen(events, everything)
    target = _target(app, url)
    _decide(target, names, group, lambda letters, own: letters.retry(*own, group=group), "to be tried again")
    _resolve(target, names, group, "to be tried again", again=True)


@dead.command(epilog="Example: tidings dead skip 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11")
def skip(
    events: EventArguments = None,
    everything: AllOption = False,
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Give dead letters up for their group; those waiting behind them go on. The log keeps the events."""
    names = _chosen(events, everything)
    target = _target(app, url)
    _decide(target, names, group, lambda letters, own: letters.skip(*own, group=group), "skipped")
    _resolve(target, names, group, "skipped", again=False)


@dead.command(epilog="Example: tidings dead drop 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11 --yes")
def drop(
    events: EventArguments = None,
    everything: AllOption = False,
    group: GroupOption = None,
    app: AppOption = None,
    url: UrlOption = None,
    yes: YesOption = False,
) -> None:
    """Give dead letters up for their group, and all that waits behind them. The log keeps the events."""
    from tidings.cli.asking import confirm

    names = _chosen(events, everything)
    if not yes:
        confirm("Give them up, and all that waits behind them?")
    target = _target(app, url)
    _decide(
        target, names, group, lambda letters, own: letters.drop(*own, group=group), "dropped, those behind included"
    )
    _resolve(target, names, group, "dropped", again=False)


@dead.command(epilog="Example: tidings dead add shop.show 000109d1c2a3-00000000000004d2 --reason 'damaged'")
def add(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="The group that is to pass over it.")],
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Position, or id; of a damaged record its position.")],
    reason: Annotated[str, typer.Option("--reason", help="Kept with the dead letter.")] = "set aside by an operator",
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Make an event a dead letter of a group that has not answered it: the group passes over it.

    The way past a damaged record, or past an event whose handler brings its process down. Nothing vanishes: it is
    listed, and can be tried again.
    """
    position = _call(_target(app, url), lambda letters: letters.add(group, event, reason))
    print(f"{group} passes over {position}: 'tidings dead show {position}' has what is known of it")


def _chosen(events: list[str] | None, everything: bool) -> list[str]:
    """What was named; nothing, if all are meant."""
    from tidings.errors import ConfigurationError

    if bool(events) == everything:
        raise ConfigurationError(
            "name dead letters by id or position, as 'tidings dead list' shows them, or give --all"
        )
    return events or []


def _target(app: str | None, url: str | None) -> Any:
    from tidings.cli.target import find

    return find(app, url)


def _decide(
    target: Any, names: list[str], group: str | None, change: Callable[[Any, list[str]], Any], what: str
) -> None:
    """What becomes of letters of the log, if there is one; those of direct handlers alone are left to `_resolve`."""
    from tidings.cli import on_both

    if target.is_broker or group in target.direct:
        return
    elsewhere = {letter.event.id for letter in on_both.letters(target, group)} & set(names)
    if elsewhere:  # the same event may be dead in the log, too
        found = _look(target, lambda letters: letters.find(group=group))
        here = {name for letter in found for name in (letter.parked.event_id, letter.position)}
        names = [name for name in names if name not in elsewhere or name in here]
        if not names:
            return
    _told(_call(target, lambda letters: change(letters, names)), what)


def _resolve(target: Any, names: list[str], group: str | None, what: str, *, again: bool) -> None:
    """What becomes of letters of the broker, where there are any."""
    from tidings.cli import on_both, on_broker

    resolve = on_broker.resolve if target.is_broker else on_both.resolve
    for name, count in resolve(target, names, group, again=again):
        print(f"{name}: {count} {what}")


def _aside(target: Any, event: str, group: str | None, *, is_elsewhere: bool) -> Any:
    """What the log has set aside of an event; when it is elsewhere, too, that may be nothing."""
    from tidings.errors import ConfigurationError

    try:
        return _look(target, lambda letters: letters.aside(event, group=group))
    except ConfigurationError:
        if is_elsewhere:
            return ()
        raise


def _told(settled: Any, what: str) -> None:
    for one in settled:
        print(f"{one.group}: {one.count} {what}{'' if one.is_run else '; nobody runs this group now'}")


def _look(target: Any, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    return asyncio.run(_on_letters(target.looking(), ask))


def _call(target: Any, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    return asyncio.run(_on_letters(target.log(), ask))


async def _on_letters(opening: Any, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    from tidings.handling.oversight.letters import Letters

    async with opening as log:
        return await ask(Letters(log))
