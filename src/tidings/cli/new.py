"""`tidings new`: a small application to begin with."""

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="The application's name, as in shop.")],
    directory: Annotated[
        Path | None, typer.Option("--directory", metavar="DIR", help="Where it is written; ./NAME unless said.")
    ] = None,
) -> None:
    """Write a small application with two events, two handlers and a test.

    Nothing that is there is overwritten.
    """
    from tidings.starter import write_app

    folder = directory or Path(name)
    for path in write_app(name.replace("-", "_"), folder):  # a folder may be called what a module may not
        print(f"wrote {path}")
    print("\nNext:")
    print(f"  cd {folder}")
    print("  tidings run")
    print('  tidings publish order:placed \'{"order_id": 1, "item": "a lamp"}\'   # in a second terminal')
