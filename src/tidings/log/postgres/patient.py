"""A psycopg connection that does not wait for ever: a server that stands still answers nothing, and says nothing."""

import time
from collections.abc import Generator
from math import inf
from typing import Any

from tidings.log.postgres.driver import psycopg

_LOOK = 0.1  # seconds between looks at the clock


class PatientConnection(psycopg.Connection[Any]):
    """Gives up, and closes itself, when an answer takes longer than `answer_within` seconds."""

    answer_within: float = inf

    def wait(self, gen: Any, interval: float = _LOOK, timeout: float | None = None) -> Any:
        """Run a piece of libpq's conversation."""
        options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}  # older psycopg has no such thing
        if self.answer_within == inf:
            return super().wait(gen, interval, **options)
        return super().wait(self._bounded(gen, time.monotonic() + self.answer_within), _LOOK, **options)

    def _bounded(self, gen: Any, until: float) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()  # in which state it is nobody knows
                    raise psycopg.OperationalError(f"the server has not answered for {self.answer_within:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
