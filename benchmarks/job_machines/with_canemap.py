"""canemap's worker, with its toy job in place of real ones. The fork server of the worker imports this, too."""

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.core import tenancy
from app.core.startup import configure_logs
from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from app.tables import Job
from benchmarks.job_machines import toy
from worker import attempt, process
from worker.context import JobContext, Outcome


def _do(services: Services, context: JobContext, folder: Path) -> Outcome:
    job = context.claim.job_id
    toy.do(job)

    def record(session: Session, stored: Mapping[str, object]) -> None:
        session.execute(text(toy.RECORD.format(job)))  # with the end of the job, or not at all

    return Outcome(record)


vars(attempt)["WORK"] = dict.fromkeys(attempt.WORK, _do)


def work() -> None:
    """A worker."""
    process._IMPORTED = ("app.core.calm_start", "worker.process", __spec__.name)  # type: ignore[assignment]  # no torch
    sys.argv[1:] = ["--queues", "light"]
    runpy.run_module("worker", run_name="__main__", alter_sys=True)


def ask(jobs: Sequence[str]) -> None:
    """Make the schema, and ask for the jobs."""
    from app.core.db import migrate

    settings = Settings()
    configure_logs(settings)
    migrate(settings)
    services = Services.open(settings)
    for job in jobs:
        with services.database.write() as session:
            row = lifecycle.create(session, job, "dataset")
        services.queue.notify(row)
    os._exit(0)


def states(jobs: Sequence[str]) -> Mapping[str, str]:
    """waiting: It is accepted, or running."""
    services = Services.open(Settings())
    with tenancy.acting_for(tenancy.ALL), services.database.read() as session:
        found = {tenancy.plain(row.id): row.status for row in session.execute(select(Job.id, Job.status))}
    return {job: "waiting" if found.get(job, "") in ("accepted", "running") else found.get(job, "") for job in jobs}


if __name__ == "__main__":
    toy.main(work, ask, states)
