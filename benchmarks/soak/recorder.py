"""Records what the database commits: triggers write the life of each job into a table of the soak.

The service keeps no history and does not use this table. The row of a trigger is in the same transaction as the change
that it records: both are committed, or neither.
"""

import re
from collections import Counter
from collections.abc import Iterator

from sqlalchemy import Connection, select, text

from app.core import tenancy
from app.core.db import Database
from app.tables import Job, JobLog
from benchmarks.soak.history import Event, Row

# name: (when the trigger fires, kind of the event, row whose values are recorded, and these values)
_OF_JOB = "{row}.id, '{what}', {row}.status, {row}.attempt, {row}.failures"
_TRIGGERS = {
    "created": ("INSERT ON jobs", "created", "NEW", _OF_JOB),
    "moved": ("UPDATE OF status, attempt ON jobs", "moved", "NEW", _OF_JOB),
    "deleted": ("DELETE ON jobs", "deleted", "OLD", _OF_JOB),
    "mapped": ("UPDATE OF products ON predictions", "result", "NEW", "{row}.id, '{what}', '', 0, 0"),
    "learnt": ("INSERT ON model_versions", "result", "NEW", "{row}.training, '{what}', '', 0, 0"),
}
_TABLE = """
CREATE TABLE soak_history (seq {serial}, at DOUBLE PRECISION, job TEXT, what TEXT, status TEXT, attempt INTEGER,
failures INTEGER)"""
_INSERT = "INSERT INTO soak_history (at, job, what, status, attempt, failures) VALUES ({now}, {values});"
_RETURNS = "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"  # transactions of tenants cannot write the history
_SERIAL = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY"}
_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch FROM clock_timestamp())",
}


class Recorder:
    """Records the history of all jobs that are created after `install`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._before: set[str] = set()

    def install(self) -> None:
        """Begin to record. Jobs that exist already are left out."""
        with tenancy.acting_for(tenancy.ALL), self._database.write() as session:
            self._before = set(session.scalars(select(Job.id)))
            _create(session.connection())

    def events(self) -> list[Event]:
        """All recorded events, oldest first; events of one job are in the order in which they happened."""
        columns = "at, job, what, status, attempt, failures"
        with tenancy.acting_for(tenancy.ALL), self._database.read() as session:
            rows = session.execute(text(f"SELECT {columns} FROM soak_history ORDER BY seq"))
            return [Event(*row) for row in rows if row.job not in self._before]

    def rows(self) -> dict[str, Row]:
        """All recorded jobs as they are now, by id."""
        with tenancy.acting_for(tenancy.ALL), self._database.read() as session:
            return {
                job.id: Row(job.status, job.attempt, job.failures, job.error.type if job.error else None)
                for job in session.scalars(select(Job))
                if job.id not in self._before
            }

    def epochs_again(self) -> list[int]:
        """For each attempt at a training after the first: number of epochs that an earlier attempt had already done.

        A resumed attempt first writes the log lines of known epochs again, unchanged; an epoch that is done again has
        another line, because it took other seconds.
        """
        known: dict[tuple[str, int], str] = {}
        again: Counter[tuple[str, int]] = Counter()
        for job, attempt, epoch, line in self._epochs():
            first = known.setdefault((job, epoch), line)
            again[job, attempt] += line != first
        return [count for (_, attempt), count in again.items() if attempt > 1]

    def _epochs(self) -> Iterator[tuple[str, int, int, str]]:
        with tenancy.acting_for(tenancy.ALL), self._database.read() as session:
            for line in session.scalars(select(JobLog).order_by(JobLog.id)):
                if line.job_id not in self._before and (match := re.match(r"epoch (\d+)\b", line.text)):
                    yield line.job_id, line.attempt, int(match[1]), line.text


def _create(connection: Connection) -> None:
    dialect = connection.dialect.name
    connection.exec_driver_sql(_TABLE.format(serial=_SERIAL[dialect]))
    for name, (when, what, row, columns) in _TRIGGERS.items():
        insert = _INSERT.format(now=_NOW[dialect], values=columns.format(row=row, what=what))
        action = f"BEGIN {insert} END"
        if dialect == "postgresql":
            body = f"$$ BEGIN {insert} RETURN NULL; END $$"
            connection.exec_driver_sql(f"CREATE FUNCTION soak_{name}() {_RETURNS} AS {body}")
            action = f"EXECUTE FUNCTION soak_{name}()"
        connection.exec_driver_sql(f"CREATE TRIGGER soak_{name} AFTER {when} FOR EACH ROW {action}")
