"""Looking at every record that a log in memory holds."""

from tidings.log.memory.state import State
from tidings.log.verifying import DECIDE, MOVE, Columns, Examined, Flaw, broken_stream, wrong_with


def examine(state: State) -> Examined:
    """What is wrong with it: in one step, as nobody can change anything meanwhile."""
    flaws: list[Flaw] = []
    orders, earliest = {order: key for key, order in state.by_id.items()}, 0
    for record in state.records:
        id, source = orders[record.order]
        columns = Columns(id, source, state.keys[record.order])
        flaws += wrong_with(record, columns, state.epoch.position(record.order), earliest)
        earliest = record.recorded_at
    return Examined(len(state.records), len(state.records), [*flaws, *_streams(state), *_groups(state)])


def _streams(state: State) -> list[Flaw]:
    found = [
        broken_stream(
            name, records[0].stream_version or 0, records[-1].stream_version or 0, len(records), state.versions[name]
        )
        for name, records in state.streams.items()
    ]
    return [finding for finding in found if finding is not None]


def _groups(state: State) -> list[Flaw]:
    position = state.epoch.position
    parked = [
        Flaw(f"{name} has set it aside, and it is not in the log", DECIDE, position(order))
        for name, group in state.groups.items()
        for order in group.parked
        if state.record(order) is None
    ]
    lanes = [
        Flaw(f"lane {number} of {name} stands past the end of the log, at {lane.position}", MOVE)
        for name, group in state.groups.items()
        for number, lane in enumerate(group.lanes)
        if lane.position > state.tip
    ]
    return parked + lanes
