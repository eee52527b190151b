"""Postgres' errors, translated once. No message has the password: libpq's do not, and addresses come without it."""

from tidings.errors import DiskFull, LogDamaged, LogError, LogLocked, LogReadOnly, LogUnreachable
from tidings.log.postgres.driver import psycopg

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_READ_ONLY = {"25006", "42501"}  # a standby, default_transaction_read_only; rights that are missing
_BUSY = {"55P03", "40P01", "40001"}  # lock_timeout, deadlock, serialization: another try may do
_DAMAGED = {"XX001", "XX002"}
_GOING = {"57P01", "57P02", "57P03", "57P05", "53300"}  # it stops, starts, or has no connection left


def translated(error: psycopg.Error, place: str) -> LogError:
    """The tidings error for what Postgres reported."""
    state = error.sqlstate
    said = str(error).strip().splitlines()
    if state in ("53100", "53200"):
        return DiskFull(place)
    if state in _READ_ONLY:
        return LogReadOnly(place, said[0] if said else state)
    if state in _BUSY:
        return LogLocked(None, place)
    if state in _DAMAGED:
        return LogDamaged(said[0], path=place)
    if is_lost(error):
        return LogUnreachable(place, said[0] if said else type(error).__name__)
    return LogError(f"the log {place} failed: {said[0] if said else type(error).__name__}")


def is_lost(error: psycopg.Error) -> bool:
    """Is it the connection that failed, and not a statement?"""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state in _GOING or state.startswith(("08", "28"))


def is_worth_repeating(error: psycopg.Error, schema: str) -> bool:
    """Was somebody else faster by a moment, so that a second look will see what they did?"""
    if error.sqlstate in ("40P01", "40001"):
        return True
    return error.sqlstate == "23505" and error.diag.schema_name == schema
