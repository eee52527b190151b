"""`tidings show`: one event, whole."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption


def show(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Id, the beginning of one, or position.")],
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one event with its envelope and data; as a CloudEvent with --json."""
    from tidings.cli.output import print_facts
    from tidings.cli.target import find
    from tidings.events import to_cloudevent

    found = asyncio.run(_locate(find(app, url), event))
    if as_json:
        print(to_cloudevent(found).decode())
        return
    print_facts(_facts(found))
    print(_data(found))


async def _locate(target: Any, event: str) -> Any:
    from tidings.handling.trace import locate

    async with target.looking() as log:
        return (await locate(log, event)).event


def _facts(event: Any) -> dict[str, Any]:
    facts = {
        "id": event.id,
        "name": event.type,
        "version": event.version,
        "source": event.source,
        "position": event.position,
        "recorded": event.recorded_at,
        "happened": event.time,
        "key": event.key,
        "stream": event.stream and f"{event.stream}, version {event.stream_version}",
        "subject": event.subject,
        "cause": event.causation_id,
        "correlation": event.correlation_id,
        "trace": event.traceparent,
        "content type": event.content_type,
        **{f"header {name}": value for name, value in event.headers.items()},
    }
    return {name: value for name, value in facts.items() if value is not None}


def _data(event: Any) -> str:
    import msgspec

    from tidings.cli.words import data_text

    if isinstance(event.data, msgspec.Raw):
        return msgspec.json.format(bytes(event.data), indent=2).decode()
    return data_text(event)
