"""The members of a group, each a process: they join, leave, are killed, stand still and go on.

Who stood still may have had events in hand, which others were given meanwhile, and learns of it only when it goes on.
What a carrier sends behind a settlement may not have been sent yet when a member is killed or stands still.
"""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
import time
from asyncio import to_thread
from asyncio.subprocess import Process
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers.carriers import Carrier
from tests.brokers.member import PREFETCH, SHOW
from tests.brokers.words import LIMIT, PATIENCE, PAUSE
from tidings.testing.broker_conformance.words import within
from tidings.testing.checker import Fact, History

_ROOT = Path(__file__).parents[2]
_SHOWING = 0.5  # seconds


@dataclass
class Member:
    """One of them."""

    process: Process
    file: Path  # of its history
    stopped: list[int] = field(default_factory=list)  # the moments at which it was killed, or began to stand still
    thawed: list[int] = field(default_factory=list)  # those at which it went on


class Crew:
    """Whoever is in it at a time; what all of them have ever known is read from their files."""

    def __init__(self, carrier: Carrier, url: str, folder: Path, chance: random.Random) -> None:
        self.members: list[Member] = []
        self._unheard = int(carrier.unheard * 1e9)
        self._url = url
        self._folder = folder
        self._chance = chance
        self._frozen: list[Member] = []
        self._all: list[Member] = []
        self._names = itertools.count()

    async def __aenter__(self) -> Self:
        await to_thread(self._folder.mkdir, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._all:
            if member.process.returncode is None:
                member.process.kill()
        for member in self._all:
            await member.process.wait()

    async def joins(self, count: int = 1) -> None:
        """So many more."""
        await asyncio.gather(*(self._join() for _ in range(count)))

    def is_killed(self) -> None:
        """One of them, by SIGKILL."""
        member = self._one()
        member.process.kill()
        member.stopped.append(time.monotonic_ns())

    async def leaves(self) -> None:
        """One of them gives back what it has, and ends by itself; one that does not shows where it stands."""
        member = self._one()
        member.process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):  # it may wait as long as its URL says for a server that is slow
                assert await member.process.wait() == 0, "a member that left has failed"
        except (AssertionError, TimeoutError):
            with contextlib.suppress(ProcessLookupError):
                member.process.send_signal(SHOW)
            await asyncio.sleep(_SHOWING)
            raise

    def freezes(self) -> None:
        """One of them stands still."""
        member = self._one()
        member.process.send_signal(signal.SIGSTOP)
        member.stopped.append(time.monotonic_ns())
        self._frozen.append(member)

    def thaw(self) -> None:
        """Those that stood still go on."""
        for member in self._frozen:
            member.thawed.append(time.monotonic_ns())
            member.process.send_signal(signal.SIGCONT)
        self.members += self._frozen
        self._frozen.clear()

    async def hears(self, wanted: set[str]) -> None:
        """Wait until each of these has come to one of them."""
        missing = wanted
        try:
            async with asyncio.timeout(LIMIT):
                while missing := wanted - await to_thread(self._heard):  # noqa: ASYNC110  # it is others' doing
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise AssertionError(f"{len(missing)} events were not heard: {sorted(missing, key=int)[:5]}") from None

    async def history(self, told: History) -> History:
        """What they knew, and who told them; without what was no more theirs when they went on after a standstill."""
        return await to_thread(self._whole, told)

    def _whole(self, told: History) -> History:
        read = [(member, self._lasting(member)) for member in self._all]
        settled: dict[str, int] = {}
        for fact in (fact for _, facts in read for fact in facts if fact.what == "settled"):
            settled[fact.event_id] = min(fact.moment, settled.get(fact.event_id, fact.moment))
        whole = History()
        whole.facts = [*told.facts, *(fact for member, facts in read for fact in _fresh(member, facts, settled))]
        whole.facts.sort(key=lambda fact: fact.moment)
        return whole

    def _lasting(self, member: Member) -> list[Fact]:
        """Without what it settled so shortly before it stopped that it may not be known."""
        facts = History.read(member.file).facts
        return [fact for fact in facts if fact.what != "settled" or not self._is_excused(member, fact.moment)]

    def _is_excused(self, member: Member, moment: int) -> bool:
        return any(end - self._unheard < moment <= end for end in member.stopped)

    async def _join(self) -> None:
        file = self._folder / f"member-{next(self._names)}"
        command = ["-m", "tests.brokers.member", self._url, "g", str(file)]
        paths = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
        )
        member = Member(process, file)
        self._all.append(member)
        assert process.stdout is not None
        async with within("a member's joining"):
            assert await process.stdout.readline() == b"joined\n"
        self.members.append(member)

    def _one(self) -> Member:
        return self.members.pop(self._chance.randrange(len(self.members)))

    def _heard(self) -> set[str]:
        history = History.read(*self._folder.iterdir())
        return {fact.event_id for fact in history.facts if fact.what == "delivered"}


def _fresh(member: Member, facts: list[Fact], settled: dict[str, int]) -> Iterator[Fact]:
    """Without what was settled by others, and so little after it went on that it may have been in hand before."""
    passed = dict.fromkeys(member.thawed, 0)
    for fact in facts:
        thaw = max((moment for moment in passed if moment < fact.moment), default=None)
        if thaw is not None and fact.what == "delivered":
            passed[thaw] += 1
            if passed[thaw] <= PREFETCH and settled.get(fact.event_id, fact.moment) < fact.moment:
                continue
        yield fact
