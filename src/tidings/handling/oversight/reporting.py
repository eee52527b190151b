"""What a process says of its work on its groups, so that others can see it: rates and hindrances, when they change.

It is written down at most every few seconds, and only while events are handled or what hinders a reader changes: a
process that waits writes nothing. Nothing is counted per event; a reader's own sums are read at each pulse.
"""

from collections.abc import Iterable, Sequence

from tidings.clock import Clock
from tidings.handling.reader import Reader
from tidings.log import Log
from tidings.log.group import Report
from tidings.log.position import order_in

_EVERY = 5.0  # seconds between two reports while events are handled


class Reporting:
    """Watches the readers of one process."""

    def __init__(self, log: Log, readers: Iterable[Reader], clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._gauges = [_Gauge(reader, clock.monotonic(), order_in(log.bell.tip)) for reader in readers]

    async def tell(self) -> None:
        """Write down what is new and worth it; call it as often as the process shows that it lives."""
        told = [gauge for gauge in self._gauges if gauge.is_due(self._clock.monotonic(), order_in(self._log.bell.tip))]
        if told:
            now = self._clock.now()
            await self._log.ledger.report([gauge.report(now) for gauge in told])
            for gauge in told:
                gauge.told = gauge.latest.hindrance

    @property
    def is_up_to_date(self) -> bool:
        """Is what hinders the readers at this moment as it was told?"""
        return all(gauge.told == gauge.hindrance for gauge in self._gauges)

    def latest(self) -> Sequence[Report]:
        """What there is to say at this moment."""
        now = self._clock.now()
        return [gauge.report(now) for gauge in self._gauges]


class _Gauge:
    """One reader, and its sums when its present stretch of work began."""

    def __init__(self, reader: Reader, moment: float, tip: int) -> None:
        self._reader = reader
        self._begin(moment, tip)
        self.told: str | None = None  # the hindrance as last written down; None: nothing was, as yet
        self.latest = Report(reader.subscription.name, reader.member, 0.0)

    @property
    def hindrance(self) -> str:
        """What keeps the reader from getting on, at this moment."""
        return self._reader.hindrance

    def is_due(self, moment: float, tip: int) -> bool:
        """Is there something to write down? Once at the beginning there is, so that it is known when it began."""
        if self.told is None:
            return self._reader.settling.lease is not None
        if self._reader.settling.handled == self._handled:
            self._begin(moment, tip)  # it waits: its next stretch of work begins now at the earliest
            return self.hindrance != self.told
        if moment - self._since < _EVERY:
            return self.hindrance != self.told
        self._measure(moment, tip)
        self._begin(moment, tip)
        return True

    def report(self, now: float) -> Report:
        """What was last measured, and when, with what hinders the reader at this moment."""
        one, at = self.latest, self.latest.at or now
        hindrance = self.hindrance
        self.latest = Report(one.group, one.member, at, one.handled, one.arriving, one.seconds, hindrance)
        return self.latest

    def _begin(self, moment: float, tip: int) -> None:
        settling = self._reader.settling
        self._since, self._tip = moment, tip
        self._handled, self._busy, self._cursor = settling.handled, settling.busy, settling.settled

    def _measure(self, moment: float, tip: int) -> None:
        settling, elapsed = self._reader.settling, moment - self._since
        handled, moved = settling.handled - self._handled, settling.settled - self._cursor
        heard = min(handled / moved, 1.0) if moved > 0 else 1.0  # the part of the log's events that is for this reader
        self.latest = Report(
            self.latest.group,
            self.latest.member,
            0.0,
            handled / elapsed,
            max(tip - self._tip, 0) * heard / elapsed,
            (settling.busy - self._busy) / handled,
        )
