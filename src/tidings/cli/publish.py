"""`tidings publish`: one event, by hand, or a stream of them from the input."""

import asyncio
import contextlib
import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption


def publish(
    name: Annotated[str | None, typer.Argument(help="The event's name, as in order:created.")] = None,
    json_text: Annotated[str, typer.Argument(metavar="JSON", help="Its data; - reads it from the input.")] = "null",
    key: Annotated[str | None, typer.Option(help="Events of one key stay in order.")] = None,
    id: Annotated[str | None, typer.Option(help="With the same id again it is recorded once.")] = None,
    subject: Annotated[str | None, typer.Option(help="What it is about.")] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="K=V", help="A header; may be repeated.")] = None,
    delay: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Later, by so much, as in 90s, 5m or 1h30m.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="At that time, as in 2026-01-31T12:00.")] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Each line of the input is a CloudEvent; with NAME, an event's data.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse an event nobody knows; with --stdin: end at the first bad line.")
    ] = False,
    rejects: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --stdin: bad lines are added here, as JSON.")
    ] = None,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish an event, and say which groups will hear it; with --stdin, one of each line of the input.

    When the application is known, the data has to fit the contract, and a name that it does not know is pointed out.
    Bad lines are told with their number and passed over; where there were any, the exit code is 1.
    """
    from tidings.cli.target import find

    if stdin:
        if json_text != "null" or key or id or subject or header or delay or at:
            raise typer.BadParameter("--stdin takes a NAME, --strict and --rejects alone: each line says the rest")
        from tidings.cli.lines import publish_lines

        publish_lines(find(app, url), name, strict=strict, rejects=rejects, as_json=as_json)
        return
    if name is None or rejects:
        raise typer.BadParameter("give the event's NAME, or --stdin" if name is None else "--rejects needs --stdin")
    data = _checked(sys.stdin.buffer.read() if json_text == "-" else json_text.encode(), name)
    attributes = {"key": key, "id": id, "subject": subject, "headers": dict(map(_header, header or []))}
    later, target = _later(delay, at), find(app, url)
    if later and target.is_broker:
        from tidings.cli.on_broker import refuse

        raise refuse("publishing later")
    event, heard = asyncio.run(_publish(target, name, data, attributes | later, strict))
    _tell(event, heard, as_json, is_later=bool(later), nobody="none here" if target.is_broker else "none yet")


def _later(delay: str | None, at: str | None) -> dict[str, Any]:
    """When it is to be recorded, as `App.publish` takes it."""
    from tidings.handling.timing.schedule import span

    if delay is not None and at is not None:
        raise typer.BadParameter("--delay and --at both say when: leave one out")
    if delay is not None:
        if (seconds := span(delay)) is None:
            raise typer.BadParameter(
                f"{delay!r} is no span of time: write it as in 90s, 5m or 1h30m", param_hint="--delay"
            )
        return {"delay": seconds}
    if at is None:
        return {}
    try:
        return {"at": datetime.fromisoformat(at).astimezone()}  # without a zone it is meant as the clock here says
    except ValueError:
        raise typer.BadParameter(f"{at!r} is no time: write it as in 2026-01-31T12:00", param_hint="--at") from None


async def _publish(
    target: Any, name: str, data: bytes, attributes: dict[str, Any], strict: bool
) -> tuple[Any, list[str]]:
    import msgspec

    from tidings import App
    from tidings.handling.oversight.audience import audience

    app = target.app or App("tidings-cli", target.url, alerts=None)
    async with contextlib.AsyncExitStack() as opened:
        log = None if target.is_broker else await opened.enter_async_context(target.log())
        await opened.enter_async_context(app)
        contract, plain = _contract(app.catalog(), name)
        heard = await audience(log, app.subscriptions, contract.name if contract else plain)
        if target.app is not None and contract is None:
            _check_known(app, plain, heard, strict)
        value = msgspec.Raw(data) if contract is None else contract.decode(data)
        if contract is not None and attributes["key"] is None:
            attributes["key"] = contract.key_of(value)
        event = await app.publish(plain, value, **attributes)
        return event, heard


def _check_known(app: Any, name: str, heard: list[str], strict: bool) -> None:
    """Say that an event is not known; with `strict`, refuse it."""
    from tidings.cli.unknown import unknown
    from tidings.errors import ConfigurationError

    if (said := unknown(app, name, heard)) is None:
        return
    if strict:
        raise ConfigurationError(f"{said} It was not published.")
    print(f"tidings: {said}", file=sys.stderr)


def _contract(catalog: Any, name: str) -> tuple[Any, str]:
    """The contract of `order:created` or `order:created.v1`, and the name to publish under."""
    from tidings.events import split_version

    plain, version = split_version(name)
    contract = catalog.contract_for(plain, version)
    is_newest = contract is not None and contract is catalog.contract_for(plain)
    return contract, plain if version is None or is_newest else name


def _checked(data: bytes, name: str) -> bytes:
    import msgspec

    from tidings.errors import ConfigurationError

    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        advice = "write it in single quotes, as in '{\"order_id\": 42}'"
        raise ConfigurationError(f"the data of {name} is no JSON ({error}): {advice}") from error
    return data


def _header(text: str) -> tuple[str, str]:
    name, is_pair, value = text.partition("=")
    if not is_pair:
        raise typer.BadParameter(f"{text!r} is no K=V", param_hint="--header")
    return name, value


def _tell(event: Any, heard: list[str], as_json: bool, *, is_later: bool, nobody: str) -> None:
    from tidings.cli.output import is_terminal, plain, print_facts, print_json

    due = event.time if is_later and event.position is None else None
    listeners = ", ".join(heard) or nobody
    if as_json:
        print_json({"id": event.id, "position": event.position, "due": due, "groups": heard})
    elif is_terminal():
        when = {"position": event.position} if due is None else {"due": due}
        print_facts({"id": event.id, **when, "heard by": listeners})
    else:
        print("\t".join(map(plain, (event.id, event.position or due or "-", listeners))))
