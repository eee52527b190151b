"""`tidings describe`: what an application is made of, without opening anything."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, JsonOption, UrlOption


def describe(
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="The source of a Mermaid flowchart: who hears what.")
    ] = False,
    app: AppOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe an application: its log and broker, its events and their versions, its groups and their rules."""
    from tidings.cli.output import print_json
    from tidings.cli.target import find_app

    found, name = find_app(app, url)
    if mermaid:
        print(_topology(found))
        return
    document = _document(found, name)
    if as_json:
        print_json(document)
        return
    _print(document)


def _topology(app: Any) -> str:
    from tidings.cli.words import without_password
    from tidings.handling.topology import Topology

    return Topology(app.name, app.subscriptions, app.catalog(), without_password(app.broker_url)).mermaid()


def _document(app: Any, name: str) -> dict[str, Any]:
    from tidings.cli.words import without_password

    contracts = sorted(app.catalog(), key=lambda each: (each.name, each.version))
    warnings = asyncio.run(_order_warnings(app))
    return {
        "app": app.name,
        "found_as": name,
        "log": without_password(app.log_url),
        "broker": without_password(app.broker_url),
        "events": [_contract(each) | {"channel": _channel(app, each)} for each in contracts],
        "groups": [_group(app, each) | {"order": warnings.get(each.name)} for each in app.subscriptions],
    }


async def _order_warnings(app: Any) -> dict[str, str | None]:
    """What is to be known of the order in which groups hear of a key, where the broker does not keep all of it."""
    from tidings.brokers import connect
    from tidings.errors import TidingsError
    from tidings.handling.direct import order_warning

    if app.broker_url is None:
        return {}
    try:
        broker = await connect(app.broker_url, channels=app.channels)
    except TidingsError:  # which the doctor tells
        return {}
    await broker.close()
    return {each.name: order_warning(each, app.channels, broker) for each in app.subscriptions}


def _channel(app: Any, contract: Any) -> str | None:
    """What its events travel on between services; None: they do not."""
    is_travelling = app.broker_url is not None and contract.public
    return str(app.channels.of(contract.name)) if is_travelling else None


def _contract(contract: Any) -> dict[str, Any]:
    return {
        "name": contract.name,
        "version": contract.version,
        "type": getattr(contract.type, "__name__", str(contract.type)),
        "key": contract.key,
        "public": contract.public,
        "owner": contract.owner,
        "personal": list(contract.personal),
        "upcasts": [
            f"{step.from_version} -> {step.to_version or step.from_version + 1}" for step in contract.upcasters
        ],
        "schema": contract.json_schema(),
    }


def _group(app: Any, subscription: Any) -> dict[str, Any]:
    from tidings.cli.words import flow, policy

    handler, directly = subscription.form.handler, subscription.direct or app.log_url is None
    return {
        "group": subscription.name,
        "hears": list(subscription.group.patterns),
        "from": subscription.group.start,
        "handler": f"{handler.__module__}.{getattr(handler, '__qualname__', '?')}",
        "writes_in_transaction": subscription.form.uses_tx,
        "policy": policy(subscription.policy, directly=directly),
        "flow": flow(subscription.policy.flow),
        "directly": directly,
    }


def _print(document: dict[str, Any]) -> None:
    from tidings.cli.output import print_facts

    facts = {"app": document["app"], "found as": document["found_as"], "log": document["log"]}
    print_facts(facts | {"broker": document["broker"] or "none"})
    print()
    _print_events(document)
    for group in document["groups"]:
        print()
        _print_group(group)


def _print_events(document: dict[str, Any]) -> None:
    from tidings.cli.output import Column, print_rows

    rows = [
        [
            each["name"],
            each["version"],
            each["type"],
            each["key"],
            "public" if each["public"] else "private",
            *([each["channel"] or "-"] if document["broker"] else []),
            _fields(each),
        ]
        for each in document["events"]
    ]
    goes = {"key": 1, "seen by others": 2, "channel": 3, "type": 4}
    travelling = ["channel"] if document["broker"] else []
    names = ["event", "version", "type", "key", "seen by others", *travelling, "fields"]
    columns = [Column(name, name == "version", name == "event", goes=goes.get(name, 0)) for name in names]
    print_rows(columns, rows, nothing="No events: its handlers name none with a contract.")


def _print_group(group: dict[str, Any]) -> None:
    from tidings.cli.output import print_text

    tx = ", in the log's transaction" if group["writes_in_transaction"] else ""
    print_text(
        f"{group['group']} hears {', '.join(group['hears'])} from the {group['from']}, by {group['handler']}{tx}"
    )
    if group["directly"]:
        print_text("It hears the broker itself, with no log between.", "  ")
    for sentence in group["policy"]:
        print_text(sentence, "  ")
    if group["order"]:
        print_text(f"Order: {group['order']}.", "  ")


def _fields(contract: dict[str, Any]) -> str:
    schema = contract["schema"]
    reference = schema.get("$ref", "").rpartition("/")[2]
    properties = schema.get("$defs", {}).get(reference, schema).get("properties", {})
    return ", ".join(properties) or "-"
