"""Priorities: which of the events that have been read are handled first, each key's own order kept."""

import logging
from collections.abc import Mapping
from typing import Any

from tidings.handling.delivery import Item
from tidings.handling.flow.settings import Priority
from tidings.handling.report import say
from tidings.log.record import delivery_key


class Ranking:
    """Ranks keys by the highest priority among their events."""

    def __init__(self, priority: Priority, group: str) -> None:
        self._priority = priority
        self._group = group

    def ranked(self, items: list[Item]) -> list[Item]:
        """Keys with the highest priority first; equals, and the events of a key, in the order of the log."""
        keys = [delivery_key(item.record, item.position) for item in items]
        ranks = [self._rank(item, key) for item, key in zip(items, keys, strict=True)]
        highest: dict[str, int] = {}
        for key, rank in zip(keys, ranks, strict=True):
            if key is not None:
                highest[key] = max(rank, highest.get(key, rank))
        of_key = [rank if key is None else highest[key] for key, rank in zip(keys, ranks, strict=True)]
        order = sorted(range(len(items)), key=lambda index: (-of_key[index], items[index].record.order))
        return [items[index] for index in order]

    def _rank(self, item: Item, key: str | None) -> int:
        """Its priority; 0 where it has none, as an event must not be held up by what only sorts it."""
        if isinstance(self._priority, Mapping):
            return 0 if key is None else self._priority.get(key, 0)
        if item.failure is not None:
            return 0
        try:
            return int(self._priority(item.value))
        except Exception as error:
            self._complain(error, item)
            return 0

    def _complain(self, error: Any, item: Item) -> None:
        reason = f"{type(error).__name__}: {error}"
        say(logging.WARNING, "no priority", group=self._group, position=item.position, reason=reason)
