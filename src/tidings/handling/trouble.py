"""`Trouble`: what keeps a reader or relay from getting on, said once, and how long it waits before the next try."""

import logging
import random

from tidings.errors import TidingsError
from tidings.handling.report import logger, say

FIRST, LONGEST = 0.1, 5.0  # seconds between tries
_JITTER = 0.25  # of a wait, added by chance: whoever lost the same server does not come back all at once


class Trouble:
    """Why one of a process's groups or relays does not get on."""

    def __init__(self, group: str) -> None:
        self.reason: str | None = None  # for `health()`
        self._group = group
        self._wait = FIRST

    def met(self, error: BaseException) -> float:
        """Say it; returns the seconds to wait, more each time until it is `over`."""
        self.says(f"{type(error).__name__}: {error}")
        if not isinstance(error, TidingsError):
            logger.error("group %s", self._group, exc_info=error)
        wait, self._wait = self._wait, min(self._wait * 2, LONGEST)
        return wait * (1 + _JITTER * random.random())

    def says(self, reason: str) -> None:
        """Have it known: what `health()` shows, and a line when it begins."""
        if self.reason is None or reason != self.reason:
            say(logging.ERROR, "trouble", group=self._group, reason=reason)
        self.reason = reason

    def over(self) -> None:
        """It gets on again."""
        self.reason, self._wait = None, FIRST
