"""Who publishes what, and who hears it: an application as a Mermaid flowchart, from what it says of itself.

Handlers say what they hear and, in their annotations, what they return. Who calls `publish` is not known: an event that
no handler returns is drawn as published by the application, or as arriving from the bus where there is one.
"""

from collections.abc import Sequence

from tidings.events import Catalog, Pattern, PatternSet, contract_of
from tidings.handling.flowchart import Chart
from tidings.handling.subscription import Subscription

_STYLES = {"private": "stroke-dasharray:4", "tx": "stroke-width:3px"}


class Topology:
    """Events, groups, and the bus."""

    def __init__(self, app: str, subscriptions: Sequence[Subscription], catalog: Catalog, broker: str | None) -> None:
        self._app = app
        self._subscriptions = subscriptions
        self._catalog = catalog
        self._broker = broker
        self._returned = {name for each in subscriptions for name in _returned(each)}
        named = {contract.name for contract in catalog} | self._returned
        literal = {pattern for each in subscriptions for pattern in each.group.patterns if Pattern(pattern).literal}
        self._events = sorted(named | literal)
        self._unmatched = sorted(
            pattern
            for pattern in {pattern for each in subscriptions for pattern in each.group.patterns} - literal
            if not any(map(Pattern(pattern).matches, self._events))
        )
        self._names = {event: f"e{index}" for index, event in enumerate([*self._events, *self._unmatched])}

    def mermaid(self) -> str:
        """The flowchart's source."""
        chart = Chart(_STYLES)
        if self._broker is not None:
            chart.node("bus", "cylinder", ["bus", self._broker])
        origins = {event: self._origin(event) for event in self._names}
        if "app" in origins.values():
            chart.node("app", "stadium", [self._app, "publish"])
        for event, name in self._names.items():
            chart.node(name, "box", self._label(event), style=None if self._is_public(event) else "private")
            if (origin := origins[event]) is not None:
                chart.edge(origin, name, "inbound" if origin == "bus" else "", dotted=origin == "bus")
        self._draw_groups(chart)
        for event, name in self._names.items():
            if self._broker is not None and origins[event] != "bus" and self._is_public(event):
                chart.edge(name, "bus", "outbound", dotted=True)
        return chart.source()

    def _draw_groups(self, chart: Chart) -> None:
        for index, each in enumerate(self._subscriptions):
            group, hears = f"g{index}", PatternSet(each.group.patterns)
            chart.node(group, "round", [each.name], style="tx" if each.form.uses_tx else None)
            heard = [event for event in self._events if hears.matches(event)]
            for event in [*heard, *(each for each in self._unmatched if each in _texts(hears))]:
                chart.edge(self._names[event], group)
            for event in _returned(each):
                chart.edge(group, self._names[event])

    def _origin(self, event: str) -> str | None:
        """Where an event comes from, if not from a handler that returns it."""
        if event in self._returned:
            return None
        contract = self._catalog.contract_for(event)
        is_ours = contract is not None and contract.owner == self._app
        is_heard = any(PatternSet(each.group.patterns).matches(event) for each in self._subscriptions)
        comes_over = self._broker is not None and not is_ours and (is_heard or event in self._unmatched)
        return "bus" if comes_over else "app"

    def _label(self, event: str) -> list[str]:
        contract = self._catalog.contract_for(event)
        if contract is None:
            return [event]
        return [event, *([f"version {contract.version}"] if contract.version > 1 else [])]

    def _is_public(self, event: str) -> bool:
        contract = self._catalog.contract_for(event)
        return contract is None or contract.public


def _returned(subscription: Subscription) -> list[str]:
    """The names of the events that a handler's annotation says it returns."""
    contracts = [contract_of(each) for each in subscription.form.returned]
    return sorted({contract.name for contract in contracts if contract is not None})


def _texts(patterns: PatternSet) -> list[str]:
    return [pattern.text for pattern in patterns.patterns]
