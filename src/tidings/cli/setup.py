"""`tidings setup`: what an application's broker lacks is created; what differs is said, and left as it is."""

import asyncio
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption, HeaderOption, JsonOption

CheckOption = Annotated[bool, typer.Option("--check", help="Only look; exit with 1 when something is amiss.")]


def setup(
    check: CheckOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
    no_header: HeaderOption = False,
) -> None:
    """Create what the application's broker and log lack: topics, streams, queues, groups, tables.

    What is there and differs from what is wanted is told and not changed: that is for you to decide. The handlers
    create what they miss, too, as far as the broker lets them.
    """
    from tidings.cli.output import Column, print_json, print_rows
    from tidings.cli.target import find_app

    found, _ = find_app(app)
    differences = asyncio.run(_set_up(found, apply=not check))
    if as_json:
        for each in differences:
            print_json({"what": each.what, "state": each.state, "detail": each.detail})
    else:
        rows = [[each.what, each.state, each.detail] for each in differences]
        columns = [Column("what", False, True), Column("state"), Column("detail", least=24)]
        print_rows(columns, rows, nothing="Everything is there.", header=not no_header)
    if check and differences:
        raise typer.Exit(1)


async def _set_up(app: Any, *, apply: bool) -> Any:
    from tidings.brokers import Difference, connect

    differences: list[Difference] = []
    for url in filter(None, (app.log_url, app.broker_url)):
        broker = await connect(url, channels=app.channels)  # a log can be asked as any broker
        try:
            differences += await broker.setup(app.wanted(), apply=apply)
        finally:
            await broker.close()
    return differences
