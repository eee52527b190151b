"""What a history may show of a carrier, by what it claims: the one oracle of all tests of carriers in trouble."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.brokers.carriers import Carrier
from tests.servers.server import Server
from tidings.testing.checker import Fact, History, Report, check

_SECOND = 1_000_000_000
_NEVER = 1 << 62


@dataclass(frozen=True)
class Outage:
    """A time of trouble, in nanoseconds of the clock of histories."""

    begin: int
    end: int
    written: int  # what was acknowledged before then has to be there again
    settled: int  # as what was settled before then


@dataclass
class Judge:
    """Knows what was done to the server, and what the carrier claims."""

    carrier: Carrier
    outages: list[Outage] = field(default_factory=list)

    def kill(self, server: Server) -> None:
        """Kill it with SIGKILL, until `revive`. Blocks."""
        server.kill9()
        now, written = time.monotonic_ns(), self.carrier.written
        behind = 0.0 if written is None else max(time.time() - written(server), 0.0)
        unsettled = max(self.carrier.unheard, self.carrier.unwritten, behind)
        self.outages.append(Outage(now, _NEVER, now - int(behind * _SECOND), now - int(unsettled * _SECOND)))

    def revive(self, server: Server) -> None:
        """Start it again. Until then everything that anybody notes was said by the one that was killed. Blocks."""
        server.start()
        self.outages[-1] = replace(self.outages[-1], end=time.monotonic_ns())

    @contextmanager
    def disturbed(self) -> Iterator[None]:
        """While the block runs, connections are lost, and nothing else."""
        begin = time.monotonic_ns()
        try:
            yield
        finally:
            end = time.monotonic_ns()
            unheard = int(self.carrier.unheard * _SECOND)
            self.outages.append(Outage(begin, end, end, begin - unheard if unheard else end))

    def owed(self, history: History) -> set[str]:
        """What every group that was there has to hear."""
        return {fact.event_id for fact in history.facts if fact.what == "acknowledged" and not self._is_excused(fact)}

    def acquit(self, history: History, *groups: str) -> Report:
        """What it shows: nothing lost, invented, delivered after it was settled, or out of order, as far as is claimed.

        Raises:
            AssertionError: it is not.
        """
        report = self._report(history, groups)
        claims = self.carrier.claims
        assert not report.invented, report
        assert not report.reordered or claims.order == "none", report
        assert not (report.lost or report.resurrected) or not self.carrier.keeps, report
        assert report.acknowledged, report
        return report

    def _report(self, history: History, groups: Sequence[str]) -> Report:
        judged = History()
        judged.facts = [fact for fact in history.facts if not self._is_excused(fact)]
        attempts = Counter(fact.event_id for fact in judged.facts if fact.what == "attempted")
        twice = {id for id, count in attempts.items() if count > 1}  # it may be there twice, and settled once
        return check(judged, groups=groups, may_return=twice)

    def _is_excused(self, fact: Fact) -> bool:
        """Was it said of what the server had only in memory, or was not told any more?"""
        place = bisect_left(self.outages, fact.moment, key=lambda outage: outage.end)
        if fact.what not in ("acknowledged", "settled") or place == len(self.outages):
            return False
        carrier, outage = self.carrier, self.outages[place]
        if fact.what == "acknowledged":
            return carrier.written is not None and outage.written < fact.moment
        is_late = bool(carrier.unheard or carrier.unwritten or carrier.written)
        return is_late and outage.settled < fact.moment
