"""`tidings replay`: a group hears again."""

from typing import Annotated

import typer

from tidings.cli.options import AppOption, UrlOption, YesOption


def replay(
    group: Annotated[str, typer.Argument(help="The group, as 'tidings groups' names it.")],
    to: Annotated[str, typer.Option("--to", metavar="PLACE", help="earliest, a position, a time, or '2h ago'.")],
    yes: YesOption = False,
    app: AppOption = None,
    url: UrlOption = None,
) -> None:
    """Move a group to another place in the log, from where it hears everything again.

    What it had set aside is forgotten: it comes again too, or lies behind the place. `tidings groups reset` does the
    same to several groups.
    """
    from tidings.cli.moving import move

    move([group], to, yes=yes, app=app, url=url)
