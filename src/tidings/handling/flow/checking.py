"""The flow of a group, made of what was written at `app.on`; what cannot work together is refused there."""

import re
from collections.abc import Mapping

from tidings.errors import ConfigurationError
from tidings.handling.flow.settings import (
    FREE,
    UNITS,
    Batch,
    Breaker,
    Debounce,
    FlowControl,
    Priority,
    Rate,
    Throttle,
)

_PACE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?([smh])")


def flow(
    *,
    rate: Rate | str | None = None,
    throttle: Throttle | str | None = None,
    debounce: Debounce | float | None = None,
    batch: Batch | None = None,
    breaker: Breaker | None = None,
    priority: Priority | None = None,
    singleton: bool = False,
    concurrency: int = 1,
) -> FlowControl:
    """The flow of a group, checked.

    Raises:
        ConfigurationError: a setting cannot be kept, or two of them do not go together.
    """
    if isinstance(rate, str):
        rate = Rate(*_pace("rate", rate))
    if isinstance(throttle, str):
        throttle = Throttle(*_pace("throttle", throttle))
    if isinstance(debounce, int | float):
        debounce = Debounce(float(debounce))
    for name, setting, kind in (
        ("rate", rate, Rate),
        ("throttle", throttle, Throttle),
        ("debounce", debounce, Debounce),
        ("batch", batch, Batch),
        ("breaker", breaker, Breaker),
    ):
        if setting is not None and not isinstance(setting, kind):
            raise ConfigurationError(f"{name}={setting!r} is no {kind.__name__}: give one, as in {_EXAMPLES[name]}")
    if priority is not None and not callable(priority) and not isinstance(priority, Mapping):
        raise ConfigurationError(f"priority={priority!r} ranks nothing: give a function of the data, or numbers by key")
    made = FlowControl(rate, throttle, debounce, batch, breaker, priority, singleton)
    quarrel = _quarrel(made, concurrency)
    if quarrel is not None:
        raise ConfigurationError(quarrel)
    return FREE if made == FREE else made


_EXAMPLES = {
    "rate": 'rate="100/s"',
    "throttle": 'throttle="1/10s"',
    "debounce": "debounce=2.0",
    "batch": "batch=Batch(size=100, wait=1.0)",
    "breaker": "breaker=Breaker(failures=5)",
}


def quarrel_over(flow: FlowControl, name: str, *, uses_tx: bool, concurrency: int) -> str | None:
    """Why this flow does not suit its handler, if it does not."""
    if flow.has_priority and uses_tx:
        return f"{name} takes tx and priority=: with tx the order is the log's; leave one of them out"
    return _quarrel(flow, concurrency)


def _quarrel(flow: FlowControl, concurrency: int) -> str | None:
    """Which settings do not go together, if any do not."""
    if flow.debounce is not None and flow.throttle is not None:
        return "throttle= takes a key's first event and debounce= its last: use one of them"
    if flow.debounce is not None and flow.batch is not None:
        return "debounce= lets single events through and batch= gathers many: use one of them"
    if flow.batch is not None and flow.has_priority:
        return "batch= takes events in the log's order and priority= in another: use one of them"
    if flow.singleton and concurrency > 1:
        return f"singleton=True handles one event at a time and concurrency={concurrency} several: use one of them"
    if flow.batch is not None and concurrency > 1:
        return f"a batch is one call for all keys and concurrency={concurrency} calls by key: use one of them"
    return None


def _pace(setting: str, text: str) -> tuple[int, float]:
    found = _PACE.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ConfigurationError(f"{setting}={text!r} is no pace: write it as '100/s', '5/m' or '1/10s'")
    return int(found[1]), float(found[2] or 1) * UNITS[found[3]]
