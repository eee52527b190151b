"""`tidings demo`: programs that show what this is for."""

import sys
from pathlib import Path
from typing import Annotated

import typer

demo = typer.Typer(no_args_is_help=True, help="Programs that show what this is for.")


@demo.callback()
def _demos() -> None:
    """Programs that show what this is for."""


@demo.command(epilog="Example: tidings demo shop --headless --orders 500")
def shop(
    orders: Annotated[int | None, typer.Option(min=1, help="Only so many of the 6,919 real purchases.")] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Plain lines; so too when the output is a pipe.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where its files are kept; a shop there is continued.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the files in the temporary folder.")] = False,
    broker: Annotated[
        str | None, typer.Option("--broker", metavar="URL", help="Between the services, in place of a shared file.")
    ] = None,
    log: Annotated[
        str | None, typer.Option("--log", metavar="URL", help="A Postgres server for their logs, in place of files.")
    ] = None,
) -> None:
    """Four services sell CDs; one is killed and comes back. Exits with 0 when all their books agree.

    With --broker and --log the same services run over any carrier: kafka://, nats://, amqp://, redis://, postgresql://
    and the others.
    """
    from tidings.demos.shop.run import run

    plain = headless or not sys.stdout.isatty()
    if not run(orders, folder=folder, keep=keep, headless=plain, broker=broker, logs=log):
        raise typer.Exit(1)
