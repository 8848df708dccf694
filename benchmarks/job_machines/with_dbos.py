"""DBOS: a workflow with a step that is retried and a transaction that is done exactly once. Without its Conductor."""

import os
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from dbos import DBOS, DBOSClient, SQLAlchemyDatasource

from benchmarks.job_machines import toy

_HOST = dict(pair.split("=") for pair in toy.DATABASE.split())["host"] if toy.DATABASE else ""
URL = f"postgresql+psycopg://postgres@/postgres?host={quote(_HOST, safe='')}"


def _define() -> None:
    source = SQLAlchemyDatasource.create(URL)

    @DBOS.step(retries_allowed=True, max_attempts=toy.TRIES, interval_seconds=1, backoff_rate=1)
    def compute(job: str) -> None:
        toy.do(job)

    def record(job: str) -> None:
        from sqlalchemy import text

        source.sql_session().execute(text(toy.RECORD.format(job)))

    @DBOS.workflow(name="toy")
    def do(job: str) -> None:
        compute(job)
        source.run_tx_step({"name": "record"}, record, job)


def work() -> None:
    """A worker with the name that it had before: at its start it goes on with what it had."""
    DBOS(
        config={
            "name": "toys",
            "system_database_url": URL,
            "executor_id": os.environ["TOY_WORKER"],
            "application_version": "1",
        }
    )
    _define()
    DBOS.launch()
    DBOS.register_queue("toys", worker_concurrency=1, polling_interval_sec=1)
    threading.Event().wait()


def ask(jobs: Sequence[str]) -> None:
    """Make the schema, and ask for the jobs."""
    DBOS(config={"name": "toys", "system_database_url": URL, "executor_id": "asks", "application_version": "1"})
    DBOS.launch()
    client = DBOSClient(system_database_url=URL)
    for job in jobs:
        client.enqueue({"workflow_name": "toy", "queue_name": "toys", "workflow_id": job, "app_version": "1"}, job)
    os._exit(0)


def states(jobs: Sequence[str]) -> Mapping[str, str]:
    """waiting: It is enqueued, or pending at some worker."""
    import psycopg

    with psycopg.connect(toy.DATABASE) as connection:
        rows = connection.execute("SELECT workflow_uuid, status FROM dbos.workflow_status")
        found: dict[str, str] = dict(rows.fetchall())
    waiting = ("ENQUEUED", "PENDING", "DELAYED")
    return {job: "waiting" if found.get(job, "") in waiting else found.get(job, "") for job in jobs}


if __name__ == "__main__":
    toy.main(work, ask, states)
