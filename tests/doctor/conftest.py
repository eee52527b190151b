"""An application that is well, to be made ill in one way at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.crash.patience import until
from tests.handling.conftest import reports
from tidings import App, event
from tidings.doctor import Finding, examine, gather
from tidings.log import open_log

__all__ = ["OrderCreated", "Patient", "files_of", "patient", "reports", "settled"]


@event("order:created", version=1, key="customer")
class OrderCreated:
    customer: str
    total: int = 0


class Patient:
    """An application with a log in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "orders.db"
        self.app = self.make()

    def make(self, *, handler: str = "ship", **settings: Any) -> App:
        """The application, with one handler."""
        app = App("orders", f"sqlite:///{self.file}", **settings)

        async def handle(order: OrderCreated) -> None:
            if order.total < 0:
                raise ValueError("a negative total")

        app.on(OrderCreated, group=f"orders.{handler}", retry=[])(handle)
        return app

    def run(self, *totals: int) -> None:
        """Publish orders, and have them handled or set aside."""

        async def work() -> None:
            async with self.app.running():
                await self.app.publish_many([OrderCreated("ada", total) for total in totals])
                await settled(self.app)

        asyncio.run(work())

    def with_log(self, use: Callable[[Any], Coroutine[Any, Any, Any]], **settings: Any) -> None:
        """Do something to the open log."""

        async def work() -> None:
            log = await open_log(f"sqlite:///{self.file}", **settings)
            try:
                await use(log)
            finally:
                await log.close()

        asyncio.run(work())

    def findings(self, app: App | None = None, **seams: Any) -> list[Finding]:
        """What the doctor finds."""
        plenty: dict[str, Any] = {"variables": {}, "usage": lambda folder: (100 << 30, 50 << 30, 50 << 30)}
        return examine(gather(app or self.app, name="shop:app", **(plenty | seams)))

    def finding(self, app: App | None = None, **seams: Any) -> Finding:
        """The one thing the doctor finds."""
        found = self.findings(app, **seams)
        assert len(found) == 1, found
        return found[0]


async def settled(app: App) -> None:
    """Wait until every group has come to the end of the log."""

    async def is_settled() -> bool:
        return not any(group.lag for group in (await app.health()).groups)

    await until(app, is_settled)


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """An application that has handled three orders, and is well."""
    made = Patient(tmp_path)
    made.run(1, 2, 3)
    return made


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file under a folder: what is in it, and its rights."""
    return {
        str(each.relative_to(folder)): (each.read_bytes(), each.stat().st_mode)
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }
