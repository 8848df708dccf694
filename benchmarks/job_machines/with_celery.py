"""Celery with Redis or Valkey, late acknowledgement, and retries of tasks that fail."""

import os
from collections.abc import Mapping, Sequence

from celery import Celery

from benchmarks.job_machines import toy

app = Celery("toys", broker=toy.BROKER)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 2 * toy.LEASE_S, "unacked_restore_interval": 1},
)


@app.task(name="toy", autoretry_for=(Exception,), max_retries=toy.TRIES, default_retry_delay=1, retry_backoff=False)
def do(job: str) -> None:
    """The toy job."""
    toy.do(job)
    toy.record(job)


def work() -> None:
    """A worker with one process for jobs."""
    app.worker_main(["worker", "--concurrency=1", "--loglevel=WARNING", f"--hostname=w{os.getpid()}"])


def ask(jobs: Sequence[str]) -> None:
    """Ask for the jobs."""
    for job in jobs:
        do.apply_async((job,), task_id=job)


def states(jobs: Sequence[str]) -> Mapping[str, str]:
    """waiting: Redis still has its message."""
    import redis

    with redis.Redis.from_url(toy.BROKER) as client:
        held = b" ".join([*client.lrange("celery", 0, -1), *client.hvals("unacked")]).decode()
    return {job: "waiting" if f'"{job}"' in held else "" for job in jobs}


if __name__ == "__main__":
    toy.main(work, ask, states)
