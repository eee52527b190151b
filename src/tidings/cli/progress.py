"""How far long work is: a bar with rate and time left on a terminal, and nothing where nobody looks."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Told = Callable[[int, int | None], None]  # how much is done, and of how much (None: nobody knows)


@contextlib.contextmanager
def progress(what: str, unit: str) -> Iterator[Told]:
    """A bar on the standard error while the block lasts; call what it gives with how far things are."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    rate = TaskProgressColumn(show_speed=True)
    with Progress(*columns, rate, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
