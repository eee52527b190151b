"""Checks of groups: whether somebody runs them, what they have set aside, whose they are."""

from collections.abc import Iterable, Iterator

from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding, error, note, warning
from tidings.log.group import LANES
from tidings.log.relational.sighting import GroupSight

_LATE = 5.0  # seconds a retry may be overdue; whoever runs the group is soon there


def paused_with_events_waiting(facts: Facts) -> Iterable[Finding]:
    """It has paused itself: too many events wait behind dead letters."""
    for group in _groups(facts):
        if group.state == "paused" and group.blocked:
            what = f"it is paused, and {group.blocked:,} events of {group.keys:,} keys wait behind dead letters"
            cure = f"retry or skip them, as 'tidings dead --help' says, then 'tidings groups resume {group.name}'"
            yield error(group.name, what, cure)


def paused(facts: Facts) -> Iterable[Finding]:
    """An operator has paused it, and perhaps forgotten."""
    for group in _groups(facts):
        if group.state == "paused" and not group.blocked:
            what = f"it is paused, with {group.lag:,} events to come"
            yield note(group.name, what, f"'tidings groups resume {group.name}' lets it go on")


def dead_letters_wait(facts: Facts) -> Iterable[Finding]:
    """They are not tried again by themselves."""
    for group in _groups(facts):
        if group.dead:
            behind = f", and {group.blocked:,} events wait behind them" if group.blocked else ""
            what = f"dead letters: {group.dead:,}{behind}"
            cure = f"'tidings dead list --group {group.name}' tells why, 'tidings dead retry' tries them again"
            yield warning(group.name, what, cure)


def retries_are_overdue(facts: Facts) -> Iterable[Finding]:
    """Only a running process tries again."""
    for group in _groups(facts):
        late = facts.now - group.next_retry if group.next_retry is not None else 0.0
        if late > _LATE and not group.members and group.state == "live":
            what = f"a retry is overdue by {late:,.0f} s, and nobody runs the group"
            yield warning(group.name, what, _run(facts))


def nobody_runs_it(facts: Facts) -> Iterable[Finding]:
    """Events wait for it."""
    for group in _groups(facts):
        if group.lag and not group.members and group.state == "live" and _is_ours(group, facts):
            what = f"nobody runs it, and it has {group.lag:,} events of the log before it"
            yield warning(group.name, what, _run(facts))


def more_readers_than_lanes(facts: Facts) -> Iterable[Finding]:
    """Those beyond the lanes have nothing to do."""
    for group in _groups(facts):
        if group.parts > LANES:
            what = f"{group.parts} readers in {len(group.members)} processes share its {LANES} lanes: some are idle"
            yield warning(group.name, what, "run fewer workers, or give handlers that wait more concurrency above 8")


def run_by_a_namesake(facts: Facts) -> Iterable[Finding]:
    """Two applications of one name on one log, or two versions of one."""
    for group in _strangers(facts):
        if group.members and facts.app is not None:
            who = ", ".join(member.partition("-")[0] for member in group.members)
            what = f"process {who} runs it for an application named {facts.app.name}, and this one has no such handler"
            yield error(group.name, what, "give one of the two another name, or stop the older version")


def no_handler_any_more(facts: Facts) -> Iterable[Finding]:
    """A handler was removed or renamed; its group is remembered."""
    for group in _strangers(facts):
        if not group.members:
            what = f"no handler of this application runs it any more; it is {group.lag:,} events behind"
            cure = f"'tidings groups delete {group.name}', or give its handler back with group={group.name!r}"
            yield warning(group.name, what, cure)


def members_left_behind(facts: Facts) -> Iterable[Finding]:
    """Processes that died; the next one that runs frees what they held."""
    for file in facts.files:
        if file.inside is not None and file.inside.gone:
            who = ", ".join(member.partition("-")[0] for member in file.inside.gone[:5])
            what = f"process {who} died without leaving; its lanes are free once another one runs"
            yield note(file.path, what, _run(facts))


def _groups(facts: Facts) -> Iterator[GroupSight]:
    """The groups of the log. Those of a bus, which belong to other services too, are judged as any broker's."""
    for file in facts.files:
        if file.role == "log" and file.inside is not None:
            yield from file.inside.groups
    for server in facts.servers:
        if server.role == "log":
            yield from server.groups


def _strangers(facts: Facts) -> Iterator[GroupSight]:
    """Groups with the application's name at the front that it does not have."""
    if facts.app is not None:
        for group in _groups(facts):
            if group.name.startswith(f"{facts.app.name}.") and not _is_ours(group, facts):
                yield group


def _is_ours(group: GroupSight, facts: Facts) -> bool:
    if facts.app is None:
        return True
    return group.name == f"{facts.app.name}:outbound" or any(
        each.name == group.name for each in facts.app.subscriptions
    )


def _run(facts: Facts) -> str:
    return f"tidings run {facts.name or 'shop:app'}"
