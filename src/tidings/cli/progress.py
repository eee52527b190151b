"""How far a long command is: a bar with rate and time left on a terminal, nothing where nobody looks."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Told = Callable[[int, int | None], None]  # how much is done, and of how much (None: nobody knows)


@contextlib.contextmanager
def progress(what: str, unit: str = "events") -> Iterator[Told]:
    """While the block lasts, show how far it is; call what it gives with how far things are.

    It is told on the standard error, so that the results can go elsewhere.
    """
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate, left = TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), rate, left)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, rate="")

        def tell(done: int, of: int | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=of, rate=f"{speed:,.0f}/s" if speed else "")

        yield tell
