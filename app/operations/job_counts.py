"""Counts of the jobs of all tenants, which /metrics shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from app.core import tenancy
from app.core.db import Database
from app.jobs import lifecycle
from app.tables import Job

RENEW_S = 60.0
Counts = dict[tuple[str, str], int]  # by kind and status


@dataclass(eq=False)
class JobCounter:
    """Counts jobs. Those that have ended are counted in the background, because a million of them takes too long."""

    database: Database
    _ended: Counts = field(default_factory=dict)

    def counts(self) -> Counts:
        """The number of jobs by kind and status. Jobs that have ended are counted as of the last `renew`."""
        return self._ended | self._count([status for status in lifecycle.LEGAL if status not in lifecycle.FINAL])

    def renew(self) -> None:
        """Count the jobs that have ended."""
        self._ended = self._count(lifecycle.FINAL)

    def _count(self, statuses: Sequence[str]) -> Counts:
        by_status = select(Job.kind, Job.reported_status, func.count()).where(Job.status.in_(statuses))
        with tenancy.acting_for(tenancy.ALL), self.database.read() as session:
            found = session.execute(by_status.group_by(Job.kind, Job.reported_status))
            return {(kind, status): number for kind, status, number in found}
