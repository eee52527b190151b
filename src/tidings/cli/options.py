"""Options that several commands have, worded once."""

from typing import Annotated

import typer

AppOption = Annotated[str | None, typer.Option("--app", metavar="MODULE:ATTR", help="The application, as in shop:app.")]
UrlOption = Annotated[str | None, typer.Option("--url", metavar="URL", help="A log without an application.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document a line.")]
HeaderOption = Annotated[bool, typer.Option("--no-header", help="In a pipe: without the line of column names.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
