"""The play: purchases are fed in, payment is killed half-way and comes back, everybody finishes, the books are read."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

from tidings.demos.shop import purchases
from tidings.demos.shop.ground import Place, ground
from tidings.demos.shop.stage import Service, ShopFailed, Sight
from tidings.demos.shop.summary import TABLES, Check, audit
from tidings.demos.shop.view import Lines, Picture

LOOK_EVERY = 0.2  # seconds
STALLED_AFTER = 30.0  # seconds without one more order done anywhere
LOST_AFTER = 5.0  # the same, where a carrier may lose some
ALL_WITHIN = 240.0
LEAST = 20  # orders: the poisonous one must be among them
Sights = dict[str, Sight]


class View(Protocol):
    """Shows the play to somebody."""

    def open(self, place: Place) -> None:
        """The play begins."""

    def say(self, line: str) -> None:
        """Something happened."""

    def show(self, sights: list[Sight]) -> None:
        """How the services do now."""

    def close(self, checks: list[Check]) -> None:
        """The books."""

    def end(self) -> None:
        """Stop showing, whatever happened; harmless after `close`."""


def run(
    orders: int | None,
    *,
    folder: Path | None,
    keep: bool,
    headless: bool,
    broker: str | None = None,
    logs: str | None = None,
) -> bool:
    """The whole play, in a temporary folder unless one is given; do the books agree?

    Over `broker`, and with the services' logs in the database `logs`, where these are given.

    Raises:
        BrokerError, LogError, ConfigurationError, MissingExtra: the broker or database cannot be had.
        ShopFailed: a service does not get on.
    """
    count = len(purchases.lines(orders))
    if count < LEAST:
        raise ShopFailed(f"{count} orders are too few to go wrong: take {LEAST} or more")
    place = folder or Path(tempfile.mkdtemp(prefix="tidings-shop-"))
    place.mkdir(parents=True, exist_ok=True)
    view: View = Lines(count) if headless else Picture(count)
    try:
        agrees = asyncio.run(_at(place.absolute(), broker, logs, orders, view))
    except asyncio.CancelledError:
        raise ShopFailed("the shop was told to stop before it was done: start it again") from None
    finally:
        view.end()
        if folder is None and not keep:
            shutil.rmtree(place, ignore_errors=True)
        else:
            print(
                f"The shop's files are in {place}; look into one with 'tidings groups --url sqlite:///{place}/payment.db'"
            )
    return agrees


async def _at(folder: Path, broker: str | None, logs: str | None, orders: int | None, view: View) -> bool:
    async with ground(folder, broker, logs) as place:
        view.open(place)
        return await play(place, orders, view)


async def play(place: Place, orders: int | None, view: View) -> bool:
    """Run the shop on the first `orders` purchases, in its place; do all books agree?

    Over a carrier that keeps nothing for who is away orders may be missing; then the rest has to agree. A folder that
    holds a shop already is continued: what was done there is checked, the rest is done.

    Raises:
        ShopFailed: a service does not start or does not get on; it says which.
    """
    lines = purchases.lines(orders)
    shop = {name: Service(name, place, view.say) for name in TABLES}
    with _terminated_like_interrupted():
        try:
            await asyncio.gather(*[service.set_up() for service in shop.values()])
            await asyncio.gather(*[service.start() for service in shop.values()])
            await _perform(shop, lines, view, is_lossy=place.is_lossy)
        finally:
            await _sent_home(shop)
    checks = await audit(place, purchases.totals(lines))
    view.close(checks)
    return all(check.agrees for check in checks)


async def _sent_home(shop: dict[str, Service]) -> None:
    """End all services, whoever tells us meanwhile to end as well."""
    ending = asyncio.gather(*[service.end() for service in shop.values()])
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise


async def _perform(shop: dict[str, Service], lines: list[str], view: View, *, is_lossy: bool) -> None:
    watch = Watch(shop, len(lines), view, is_lossy=is_lossy)
    taken = (await shop["order"].look()).done
    half, quarter = max(len(lines) // 2, taken), len(lines) // 4
    async with watch.feeding(lines[taken:half]):
        await watch.until(lambda sights: sights["payment"].done >= quarter or watch.has_lost)
        await _kill(shop["payment"], len(lines), view)  # the other half has yet to come: it is in the middle of it
    async with watch.feeding(lines[half:]):
        await watch.until(watch.is_over)


async def _feed(order: Service, lines: list[str]) -> None:
    process = order.process
    assert process is not None
    assert process.stdin is not None
    try:
        for line in lines:
            process.stdin.write(line.encode())
            await process.stdin.drain()
    except ConnectionError as error:
        raise ShopFailed("order ended while it was taking orders: run the demo again") from error


async def _kill(payment: Service, orders: int, view: View) -> None:
    before = await payment.look()
    if before.done < orders:
        await payment.kill()
        view.say(f"payment, process {before.pid}, was killed with SIGKILL after {before.done} of {orders} orders")


class Watch:
    """Looks at all services now and then, shows what it sees, and has an end."""

    def __init__(self, shop: dict[str, Service], orders: int, view: View, *, is_lossy: bool = False) -> None:
        self._shop = shop
        self._is_lossy = is_lossy
        self._view = view
        self._now = asyncio.get_running_loop().time
        self._expected = dict.fromkeys(shop, orders) | {"notification": orders - 1}  # and a dead letter
        self._latest = self._now() + ALL_WITHIN
        self._progress: tuple[int, float] = (-1, self._now())
        self._feeding: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def feeding(self, lines: list[str]) -> AsyncIterator[None]:
        """Hand `lines` to order meanwhile; at the end of the block it has them all."""
        self._feeding = asyncio.create_task(_feed(self._shop["order"], lines))
        try:
            yield
            await self._feeding
        finally:
            self._feeding.cancel()

    async def until(self, reached: Callable[[Sights], bool]) -> None:
        """Return when what is seen is so.

        Raises:
            ShopFailed: a service does not get on, or cannot be kept running.
        """
        while True:
            for service in self._shop.values():
                service.check()
            if self._feeding is not None and self._feeding.done():
                self._feeding.result()
            sights = {name: await service.look() for name, service in self._shop.items()}
            self._view.show(list(sights.values()))
            self._check_progress(sights)
            if reached(sights):
                return
            await asyncio.sleep(LOOK_EVERY)

    @property
    def has_lost(self) -> bool:
        """Has nothing more come for so long, where some may be lost, that nothing will?"""
        return self._is_lossy and self._now() > self._progress[1] + LOST_AFTER

    def is_over(self, sights: Sights) -> bool:
        """Has every service done all it can? What is lost on the way is waited for in vain, and not long."""
        if self.has_lost:
            return not any(sight.retry for sight in sights.values())
        done = all(sights[name].done >= count for name, count in self._expected.items())
        return done and sights["notification"].dead >= 1 and not any(sight.retry for sight in sights.values())

    def _check_progress(self, sights: Sights) -> None:
        done, now = sum(sight.done for sight in sights.values()), self._now()
        if done > self._progress[0]:
            self._progress = done, now
        if now > self._progress[1] + STALLED_AFTER or now > self._latest:
            late = next((name for name, count in self._expected.items() if sights[name].done < count), "notification")
            sight = sights[late]
            raise ShopFailed(
                f"{late} lags: {sight.done} of {self._expected[late]} orders done, {sight.retry} waiting to be tried"
                f" again, {sight.dead} dead; look into it with --keep and 'tidings groups'"
            )


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the play as Ctrl-C does: with everybody sent home."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
