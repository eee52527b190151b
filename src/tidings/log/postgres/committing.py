"""Jobs made commits, on one connection: together first, and after a failure each alone and carefully.

What a failure means for the events is decided here, once: whether nothing was written, or nobody can know.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from tidings.errors import CommitUnknown, HandlingError, LogError, TidingsError
from tidings.log.jobs import Job
from tidings.log.postgres.connection import Connection, Link
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.failures import is_lost, is_worth_repeating, translated
from tidings.log.postgres.orders import Life
from tidings.log.postgres.session import Overtaken, Session, place

_TRIES = 5  # of one job that others were in the way of: each time at least one of them has got through
Rung = Callable[[Session], None]


class Committer:
    """Runs jobs in transactions on a link of its own."""

    def __init__(
        self, link: Link, life: Callable[[], Life], moment: Callable[[], int | None], on_commit: Rung, where: str
    ) -> None:
        self._link = link
        self._life = life
        self._moment = moment
        self._on_commit = on_commit
        self._where = where

    def commit(self, jobs: Sequence[Job]) -> list[Any]:
        """The outcomes of these jobs, each what it gave or the error it met."""
        outcomes = self._attempt(jobs, careful=False)
        if outcomes is None:
            outcomes = [self._alone(job) for job in jobs]
        return outcomes

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def _alone(self, job: Job) -> Any:
        for _ in range(_TRIES):
            outcomes = self._attempt([job], careful=True)
            if outcomes is not None:
                return outcomes[0]
        return LogError(f"the log {self._where} is used by too many at once for this: try again")

    def _attempt(self, jobs: Sequence[Job], *, careful: bool) -> list[Any] | None:
        """Run and commit; None when it was rolled back, and is worth another, careful, try."""
        try:
            connection = self._link.connection()
        except LogError as error:
            return [error] * len(jobs)
        session = Session(connection, self._life(), self._moment())
        is_last = False
        try:
            outcomes = [self._run(job, session, careful=careful) for job in jobs]
            is_last = not session.is_begun  # then one statement is the whole transaction
            session.finish()
            is_last = False
        except BaseException as error:  # a handler may raise anything; this thread must outlive it
            if is_last and isinstance(error, psycopg.Error) and is_lost(error):
                return self._unknown(jobs, error)
            self._roll_back(connection)
            return self._failed(jobs, error, careful=careful)
        if session.is_begun:
            try:
                connection.execute("COMMIT" if session.writes else "ROLLBACK")
            except psycopg.Error as error:
                if is_lost(error):
                    return self._unknown(jobs, error)
                self._roll_back(connection)
                return self._failed(jobs, error, careful=careful)
        self._on_commit(session)
        return [place(outcome, session.life) for outcome in outcomes]

    def _run(self, job: Job, session: Session, *, careful: bool) -> Any:
        if job.is_unwanted:
            return None
        before = session.writes
        try:
            return job.run(session, careful=careful)
        except TidingsError as error:
            if session.writes != before:
                raise
            return error  # it has changed nothing: the others need not suffer

    def _failed(self, jobs: Sequence[Job], error: BaseException, *, careful: bool) -> list[Any] | None:
        if isinstance(error, Overtaken):
            return None
        if isinstance(error, psycopg.Error):
            if not careful or is_worth_repeating(error, self._link.schema):
                return None
            if isinstance(error, psycopg.IntegrityError):
                return [error]  # the user's own: a careful append has looked for its ids before
            return [translated(error, self._where)]
        if not careful:
            return None
        known = error if isinstance(error, Exception) else HandlingError(f"{type(error).__name__} was raised: {error}")
        return [known]

    def _unknown(self, jobs: Sequence[Job], error: psycopg.Error) -> list[Any]:
        self._link.drop()
        return [CommitUnknown(str(translated(error, self._where))) for _ in jobs]

    def _roll_back(self, connection: Connection) -> None:
        try:
            with contextlib.suppress(psycopg.Error):
                if connection.raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    connection.execute("ROLLBACK")
        finally:
            if connection.raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self._link.drop()  # it hangs in a state of which nothing is known
