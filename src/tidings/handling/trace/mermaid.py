"""A trace as a Mermaid flowchart: events in boxes, groups in rounded ones, colours for what is in trouble."""

from tidings.handling.flowchart import Chart
from tidings.handling.trace import telling
from tidings.handling.trace.model import Reception, Trace, Traced

_SHORT = 8  # characters of an id
_STYLES = {
    "asked": "stroke-width:3px",
    "dead": "fill:#fdd,stroke:#b00",
    "retry": "fill:#ffe8c0,stroke:#b60",
    "blocked": "fill:#ffe8c0,stroke:#b60,stroke-dasharray:4",
    "waiting": "fill:#eee,stroke:#888",
}


def mermaid(trace: Trace) -> str:
    """The flowchart's source, for ```mermaid blocks and the Mermaid live editor."""
    chart = Chart(_STYLES)
    numbers = {id(event): number for number, event in enumerate(trace.events())}
    if trace.lost_cause is not None:
        chart.node("cause", "stadium", [f"cause {trace.lost_cause[:_SHORT]}", "not in this log"])
        chart.edge("cause", "e0", dotted=True)
    for event in trace.events():
        number = numbers[id(event)]
        _event(chart, event, number)
        for effect in event.effects:
            groups = [each.group for each in event.receptions]
            source = f"e{number}g{groups.index(effect.by)}" if effect.by in groups else f"e{number}"
            chart.edge(source, f"e{numbers[id(effect)]}", dotted=effect.by not in groups)
    return chart.source()


def _event(chart: Chart, event: Traced, number: int) -> None:
    label = [event.type, event.id[:_SHORT], telling.clock_time(event.recorded_at)]
    label += ["from " + event.source] if event.is_foreign else []
    label += [f"{len(event.repeats)} duplicates dropped"] if event.repeats else []
    chart.node(f"e{number}", "box", label, style="asked" if event.is_asked else None)
    for index, reception in enumerate(event.receptions):
        name = f"e{number}g{index}"
        style = reception.state if reception.state in _STYLES else None
        chart.node(name, "round", [reception.group, _short(reception)], style=style)
        chart.edge(f"e{number}", name)
    if event.left_out:
        chart.node(f"e{number}more", "stadium", [f"{event.left_out} more"])
        chart.edge(f"e{number}", f"e{number}more", dotted=True)


def _short(reception: Reception) -> str:
    if reception.state == "blocked" and reception.behind:
        return f"blocked behind {reception.behind[:_SHORT]}"
    times = sum(step.what == "handled" for step in reception.steps)
    called = f" after {telling.calls(reception.calls)}" if reception.calls > 1 else ""
    return f"{reception.state}{called}" + (f", {times} times" if times > 1 else "")
