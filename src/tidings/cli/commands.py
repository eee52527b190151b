"""The table of commands. Their modules import what they need when they are called, so that `--help` is quick."""

from typing import Annotated

import typer

from tidings.cli.backup import backup
from tidings.cli.dead import dead
from tidings.cli.demo import demo
from tidings.cli.describe import describe
from tidings.cli.doctor import doctor
from tidings.cli.export import export
from tidings.cli.groups import groups
from tidings.cli.importing import import_
from tidings.cli.new import new
from tidings.cli.publish import publish
from tidings.cli.replay import replay
from tidings.cli.run import run
from tidings.cli.setup import setup
from tidings.cli.show import show
from tidings.cli.tail import tail
from tidings.cli.timers import timers
from tidings.cli.trace import trace
from tidings.cli.trim import trim
from tidings.cli.verify import verify

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help.py lays out the pages
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: tidings new shop Example: tidings demo shop",
)


@cli.callback()
def tidings(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what failed.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
    install_completion: Annotated[
        bool, typer.Option("--install-completion", help="Have the shell complete commands, groups and events.")
    ] = False,
    show_completion: Annotated[
        bool, typer.Option("--show-completion", help="Print what that needs; a shell may be named, as in: zsh.")
    ] = False,
) -> None:
    """Event-driven applications: run them, publish to them, look into them.

    The application is found by --app, else --url, else TIDINGS_APP, TIDINGS_URL, TIDINGS_LOG or TIDINGS_BROKER, else
    tool.tidings.app in pyproject.toml, else as the one App in ./*.py.
    """


cli.command(epilog="Example: tidings new shop")(new)
cli.command(epilog="Example: tidings doctor Example: tidings doctor --app shop:app --json")(doctor)
cli.command(epilog="Example: tidings setup --app shop:app --check")(setup)
cli.command(epilog="Example: tidings run shop:app --workers 2")(run)
cli.command(epilog="Example: tidings publish order:created '{\"order_id\": 42}' --key 42")(publish)
cli.command(epilog="Example: tidings tail 'order:*' -f")(tail)
cli.command(epilog="Example: tidings show 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11")(show)
cli.command(epilog="Example: tidings trace 0192f0c8-7a41-7a9c-8a6e-0b8d3f6a2c11")(trace)
cli.add_typer(groups, name="groups")
cli.add_typer(dead, name="dead")
cli.add_typer(timers, name="timers")
cli.command(epilog="Example: tidings replay shop.show --to 2026-01-31T12:00")(replay)
cli.command(epilog="Example: tidings describe --app shop:app --json")(describe)
cli.command(epilog="Example: tidings trim 'debug:**' --age 7d --dry-run")(trim)
cli.command(epilog="Example: tidings verify --app shop:app")(verify)
cli.command(epilog="Example: tidings backup /backups/shop.db --verify")(backup)
cli.command(epilog="Example: tidings export events.jsonl --types 'order:*'")(export)
cli.command("import", epilog="Example: tidings import events.jsonl --url sqlite:///copy.db")(import_)
cli.add_typer(demo, name="demo")
