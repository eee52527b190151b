"""`tidings publish`: one event, by hand, or a stream of them from the input."""

import asyncio
import sys
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
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Each line of the input is a CloudEvent; with NAME, an event's data.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="With --stdin: end at the first bad line.")] = False,
    rejects: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --stdin: bad lines are added here, as JSON.")
    ] = None,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish an event, and say which groups will hear it; with --stdin, one of each line of the input.

    When the application is known, the data has to fit the contract. Bad lines are told with their number and passed
    over; where there were any, the exit code is 1.
    """
    from tidings.cli.target import find

    if stdin:
        if json_text != "null" or key or id or subject or header:
            raise typer.BadParameter("--stdin takes a NAME, --strict and --rejects alone: each line says the rest")
        from tidings.cli.lines import publish_lines

        publish_lines(find(app, url), name, strict=strict, rejects=rejects, as_json=as_json)
        return
    if name is None or strict or rejects:
        raise typer.BadParameter(
            "give the event's NAME, or --stdin" if name is None else "--strict and --rejects need --stdin"
        )
    data = _checked(sys.stdin.buffer.read() if json_text == "-" else json_text.encode(), name)
    attributes = {"key": key, "id": id, "subject": subject, "headers": dict(map(_header, header or []))}
    event, heard = asyncio.run(_publish(find(app, url), name, data, attributes))
    _tell(event, heard, as_json)


async def _publish(target: Any, name: str, data: bytes, attributes: dict[str, Any]) -> tuple[Any, list[str]]:
    import msgspec

    from tidings.handling.oversight.audience import audience

    if target.app is None:
        return await _publish_bare(target, name, data, attributes)
    app = target.app
    async with target.log() as log, app:
        contract, plain = _contract(app.catalog(), name)
        value = msgspec.Raw(data) if contract is None else contract.decode(data)
        if contract is not None and attributes["key"] is None:
            attributes["key"] = contract.key_of(value)
        event = await app.publish(plain, value, **attributes)
        return event, await audience(log, app.subscriptions, event.type)


async def _publish_bare(target: Any, name: str, data: bytes, attributes: dict[str, Any]) -> tuple[Any, list[str]]:
    import msgspec

    from tidings import Event
    from tidings.handling.oversight.audience import audience

    given = {name: value for name, value in attributes.items() if value is not None}
    event = Event(source="tidings-cli", type=name, data=msgspec.Raw(data), **given).checked()
    async with target.log() as log:
        appended = await log.append([event])
        return msgspec.structs.replace(event, position=appended.first), await audience(log, (), event.type)


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


def _tell(event: Any, heard: list[str], as_json: bool) -> None:
    from tidings.cli.output import is_terminal, plain, print_facts, print_json

    if as_json:
        print_json({"id": event.id, "position": event.position, "groups": heard})
    elif is_terminal():
        print_facts({"id": event.id, "position": event.position, "heard by": ", ".join(heard) or "none yet"})
    else:
        print("\t".join(map(plain, (event.id, event.position, ", ".join(heard) or "none yet"))))
