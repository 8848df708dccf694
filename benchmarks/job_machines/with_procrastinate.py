"""procrastinate, with retries of tasks that fail and its documented task that retries stalled jobs."""

import asyncio
from collections.abc import Mapping, Sequence

import procrastinate

from benchmarks.job_machines import toy

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=toy.DATABASE))


@app.task(name="toy", queue="toys", retry=procrastinate.RetryStrategy(max_attempts=toy.TRIES, wait=1))
def do(job: str) -> None:
    """The toy job."""
    toy.do(job)
    toy.record(job)


@app.periodic(cron="* * * * * */2")
@app.task(queueing_lock="stalled", name="stalled", queue="stalled", pass_context=True)
async def retry_stalled(context: procrastinate.JobContext, timestamp: int) -> None:
    """Give the jobs of dead workers back, as procrastinate's documentation recommends."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=toy.LEASE_S):
        await app.job_manager.retry_job(job)


async def _work() -> None:
    async with app.open_async():
        await app.run_worker_async(
            concurrency=2,  # one for a job, one for the task above
            fetch_job_polling_interval=1,
            update_heartbeat_interval=0.5,
            stalled_worker_timeout=toy.LEASE_S,
            install_signal_handlers=True,
        )


def work() -> None:
    """A worker."""
    asyncio.run(_work())


def ask(jobs: Sequence[str]) -> None:
    """Make the schema, and ask for the jobs."""

    async def ask_all() -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            for job in jobs:
                await do.defer_async(job=job)

    asyncio.run(ask_all())


def states(jobs: Sequence[str]) -> Mapping[str, str]:
    """waiting: It is to be done, or seems to be worked at."""
    import psycopg

    with psycopg.connect(toy.DATABASE) as connection:
        rows = connection.execute("SELECT args->>'job', status::text FROM procrastinate_jobs WHERE task_name = 'toy'")
        found: dict[str, str] = dict(rows.fetchall())
    return {job: "waiting" if found.get(job, "") in ("todo", "doing") else found.get(job, "") for job in jobs}


if __name__ == "__main__":
    toy.main(work, ask, states)
