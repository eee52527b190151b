"""Checks of logs in Postgres: whether the server is there, keeps what it acknowledges, and who holds readers back."""

from collections.abc import Iterable

from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding, error, warning
from tidings.errors import MissingExtra
from tidings.log.postgres.inspection import Holder

_LONG = 1.0  # seconds that a transaction may take
_REMOTE = ("on", "remote_apply", "remote_write")


def cannot_be_reached(facts: Facts) -> Iterable[Finding]:
    """Or not looked at, without its driver."""
    for server in facts.servers:
        if isinstance(server.trouble, MissingExtra):
            yield error(server.place, str(server.trouble), f"pip install 'tidings[{server.trouble.extra}]'")
        elif server.trouble is not None:
            yield error(server.place, str(server.trouble), "see that the server runs, and correct the URL")


def servers_schema_is_newer(facts: Facts) -> Iterable[Finding]:
    """This program would be refused."""
    for server in facts.servers:
        if server.schema > server.known:
            what = f"its schema is version {server.schema}, and this tidings knows {server.known}"
            yield error(server.place, what, "upgrade tidings here")


def readers_are_held_back(facts: Facts) -> Iterable[Finding]:
    """What was recorded after a transaction began is read when it has ended: nobody can know what it still adds."""
    for server in facts.servers:
        for holder in server.holders:
            if holder.age > _LONG:
                doing = f", {holder.state}: {holder.query}" if holder.query else ""
                what = (
                    f"{_named(holder)} has a transaction open for {holder.age:,.0f} s, and no reader gets past its"
                    f" beginning{doing}"
                )
                yield warning(server.place, what, _cure(holder))


def commits_are_not_safe(facts: Facts) -> Iterable[Finding]:
    """A publish that returned is promised to be on disk."""
    for server in facts.servers:
        found = server.settings
        for setting in ("fsync", "full_page_writes"):
            if found.get(setting) == "off":
                what = f"{setting} is off: what is acknowledged is lost, or all of it damaged, when the machine fails"
                yield error(server.place, what, f"set {setting} = on in postgresql.conf")
        commit = found.get("synchronous_commit", "on")
        if commit == "off":
            what = "synchronous_commit is off: the last acknowledged events are lost when the server fails"
            yield warning(server.place, what, "set synchronous_commit = on for this database or role")
        elif found.get("synchronous_standby_names") and commit not in _REMOTE:
            what = f"it has standbys to wait for, and synchronous_commit = {commit} does not: a failover loses events"
            yield warning(server.place, what, "set synchronous_commit = on for this database or role")


def _named(holder: Holder) -> str:
    who = f"session {holder.pid}" if holder.pid is not None else f"the prepared transaction {holder.application!r}"
    program = f" ({holder.application})" if holder.pid is not None and holder.application else ""
    return f"{who}{program} of {holder.user or 'somebody'} in database {holder.database}"


def _cure(holder: Holder) -> str:
    if holder.pid is None:
        return f"COMMIT PREPARED or ROLLBACK PREPARED '{holder.application}', as its manager would"
    return f"have it commit, or end it with SELECT pg_terminate_backend({holder.pid})"
