"""`tidings run`: an application at work, in as many processes as wanted."""

import asyncio
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from tidings.cli.options import AppOption


def run(
    application: Annotated[str | None, typer.Argument(metavar="[APP]", help="As in shop:app.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each takes its share of every group.")] = 1,
    reload: Annotated[bool, typer.Option("--reload", help="Start them again when a .py file here changes.")] = False,
    app: AppOption = None,
) -> None:
    """Run an application's handlers until Ctrl-C or SIGTERM; what is in hand is finished first.

    A worker that crashes is started again. A second signal ends all at once.
    """
    from tidings.cli.supervision import Supervisor
    from tidings.cli.target import find_app
    from tidings.errors import ConfigurationError, MissingExtra

    found, name = find_app(application or app)
    found.catalog()  # what is put together wrongly is said now, and once
    if not found.subscriptions and found.broker_url is None:
        raise ConfigurationError(f"{name} has no handlers: give it one with @app.on, there is nothing to run")
    if reload and find_spec("watchfiles") is None:
        raise MissingExtra("cli", "--reload")
    if workers > 1 and found.is_in_memory:
        raise ConfigurationError(
            f"{name} has its log in memory, which {workers} processes cannot share: use sqlite:///"
        )
    print(f"{found.name}: {_groups_of(found)}", flush=True)
    code = asyncio.run(Supervisor(name, workers, drain=found.drain, watches=reload).run())
    raise typer.Exit(code)


def _groups_of(app: Any) -> str:
    """How many hear what."""
    from tidings.cli.output import counted
    from tidings.cli.words import without_password

    at_broker = sum(each.direct for each in app.subscriptions) if app.log_url else len(app.subscriptions)
    counts = ((app.log_url, len(app.subscriptions) - at_broker), (app.broker_url, at_broker))
    told = [f"{counted(count, 'group')} on {without_password(url)}" for url, count in counts if count]
    return ", ".join(told) or f"no group on {without_password(app.log_url or app.broker_url)}"
