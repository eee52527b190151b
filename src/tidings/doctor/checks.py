"""All checks, in the order in which their findings are told."""

from collections.abc import Callable, Iterable

from tidings.doctor import application, carriers, contents, groups, place, server, surroundings
from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding

Check = Callable[[Facts], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    surroundings.application_is_missing,
    surroundings.python_is_old,
    surroundings.variables_nobody_reads,
    surroundings.variables_overruled,
    surroundings.variables_overrule,
    application.contracts_do_not_fit,
    application.nothing_to_run,
    application.broker_is_unknown,
    application.broker_is_the_log,
    carriers.does_not_answer,
    carriers.refuses_a_handler,
    carriers.tells_nothing,
    carriers.lacks_something,
    carriers.differs,
    carriers.nobody_receives,
    carriers.letters_wait,
    carriers.belongs_to_nobody,
    carriers.gets_nothing_done,
    application.handler_needs_a_broker,
    application.channel_carries_nothing,
    application.log_is_in_memory,
    application.handler_needs_sql,
    application.handler_outlives_drain,
    application.event_never_comes,
    application.event_is_not_heard,
    place.folder_is_missing,
    place.file_is_a_link,
    place.folder_is_open_to_all,
    place.log_is_not_writable,
    place.network_file_system,
    place.disk_is_nearly_full,
    place.others_may_read,
    contents.cannot_be_read,
    contents.no_log_inside,
    contents.schema_is_newer,
    contents.schema_is_older,
    contents.events_are_lost,
    contents.records_are_damaged,
    contents.sidecar_is_missing,
    contents.reserve_is_missing,
    contents.wal_has_grown,
    contents.clock_is_behind,
    contents.file_is_large,
    server.cannot_be_reached,
    server.servers_schema_is_newer,
    server.readers_are_held_back,
    server.commits_are_not_safe,
    groups.paused_with_events_waiting,
    groups.paused,
    groups.dead_letters_wait,
    groups.retries_are_overdue,
    groups.nobody_runs_it,
    groups.more_readers_than_lanes,
    groups.run_by_a_namesake,
    groups.no_handler_any_more,
    groups.members_left_behind,
)
_ORDER = ("error", "warning", "note")


def examine(facts: Facts) -> list[Finding]:
    """What all checks find, the worst first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))
