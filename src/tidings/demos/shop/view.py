"""What people see of the play: a live picture on a terminal, plain lines elsewhere."""

import time
from typing import Any

from tidings.demos.shop.ground import Place
from tidings.demos.shop.stage import Sight
from tidings.demos.shop.summary import Check

_DATA = "The purchases are real ones of a CD shop; the data names no products, so stock is counted in CDs."
_LOSSY = "This broker keeps nothing for who is away: what passes while payment is dead is lost, and said at the end."
_SAY_EVERY = 1.0  # seconds, in plain lines


class Rates:
    """Orders a second of each service, smoothed over some looks."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, float]] = {}
        self._rates: dict[str, float] = {}

    def of(self, sight: Sight) -> float:
        """The rate, brought up to date."""
        now = time.monotonic()
        done, at = self._before.get(sight.name, (sight.done, now))
        if now > at:
            latest = (sight.done - done) / (now - at)
            self._rates[sight.name] = 0.6 * self._rates.get(sight.name, latest) + 0.4 * latest
        self._before[sight.name] = sight.done, now
        return self._rates.get(sight.name, 0.0)


class Lines:
    """Plain lines, for scripts and pipes."""

    def __init__(self, orders: int) -> None:
        self._orders = orders
        self._next = 0.0
        self._begin = time.monotonic()

    def open(self, place: Place) -> None:
        """Where it stands."""
        print(*opening(place), sep="\n", flush=True)

    def say(self, line: str) -> None:
        """Something happened."""
        print(f"{self._elapsed()} {line}", flush=True)

    def show(self, sights: list[Sight]) -> None:
        """How the services do, once in a while."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SAY_EVERY
        told = [f"{each.name} {each.done} (lag {each.lag}, retry {each.retry}, dead {each.dead})" for each in sights]
        print(f"{self._elapsed()} of {self._orders} orders: {', '.join(told)}", flush=True)

    def close(self, checks: list[Check]) -> None:
        """The books, a line each: ok or WRONG, what, found, expected."""
        for check in checks:
            told = f"{check.what.strip()}\t{check.found}\t{check.expected}"
            mark = "lost" if check.is_missing else "ok" if check.agrees else "WRONG"
            print(f"{mark}\t{told}", flush=True)
        print(f"{self._elapsed()} {verdict(checks)}", flush=True)

    def end(self) -> None:
        """Nothing to put away."""

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._begin:5.1f} s"


class Picture:
    """A table that lives, a bar, and what happened last."""

    def __init__(self, orders: int) -> None:
        from rich.console import Console
        from rich.live import Live

        self._orders = orders
        self._rates = Rates()
        self._said: list[str] = []
        self._begin = time.monotonic()
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._sights: list[Sight] = []

    def open(self, place: Place) -> None:
        """Where it stands."""
        self._console.print(*opening(place), sep="\n", style="dim")
        self._live.start()

    def say(self, line: str) -> None:
        """Something happened."""
        self._said = [*self._said[-4:], f"{time.monotonic() - self._begin:5.1f} s  {line}"]
        self.show(self._sights)

    def show(self, sights: list[Sight]) -> None:
        """How the services do now."""
        self._sights = sights
        self._live.update(self._drawn(), refresh=True)

    def close(self, checks: list[Check]) -> None:
        """The books."""
        from rich.table import Table

        self.end()
        table = Table("", "what", "found", "expected", title="The books, read from every service's own tables")
        for check in checks:
            mark = "[yellow]–[/]" if check.is_missing else "[green]✔[/]" if check.agrees else "[red]✘[/]"
            table.add_row(mark, check.what, check.found, check.expected)
        for column in table.columns[2:]:
            column.justify = "right"
        self._console.print(table)
        agree = all(check.agrees for check in checks)
        seconds = time.monotonic() - self._begin
        self._console.print(f"{verdict(checks)} {seconds:.1f} s in all.", style="bold green" if agree else "bold red")

    def end(self) -> None:
        """Stop drawing; harmless when it has stopped."""
        self._live.stop()

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table("service", "process", "orders", "per second", "lag", "retry", "dead", "starts", expand=True)
        for column in table.columns[1:]:
            column.justify = "right"
        for sight in self._sights:
            process = str(sight.pid) if sight.pid else "[bold red]gone[/]"
            marks = [
                f"[yellow]{sight.retry}[/]" if sight.retry else "0",
                f"[red]{sight.dead}[/]" if sight.dead else "0",
            ]
            counts = [f"{sight.done:,}", f"{self._rates.of(sight):,.0f}", f"{sight.lag:,}"]
            table.add_row(sight.name, process, *counts, *marks, str(sight.starts))
        done = self._sights[-1].done if self._sights else 0
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_row("thanked", ProgressBar(self._orders, done), f"{done:,} of {self._orders:,} orders")
        return Group(table, bar, Text("\n".join(self._said), style="dim"))


def opening(place: Place) -> list[str]:
    """What is said before the play."""
    said = [place.sentence(), _DATA]
    if place.prefix:
        said.append(f"What it makes there has names that begin with {place.prefix}, and stays.")
    return [*said, *([_LOSSY] if place.is_lossy else [])]


def verdict(checks: list[Check]) -> str:
    """One sentence on all checks."""
    wrong = [check.what.strip() for check in checks if not check.agrees]
    missing = [check.what.strip() for check in checks if check.is_missing]
    if not wrong and missing:
        return f"Some orders were lost on the way, as this broker keeps nothing: {', '.join(missing)}. The rest agrees."
    if not wrong:
        return "All books agree: nothing was lost, nothing done twice."
    return f"The books do not agree: {', '.join(wrong)}; look into the files (--keep leaves them)."
