"""Counts of jobs, on both databases."""

from app.jobs import claims, lifecycle
from app.operations.job_counts import JobCounter
from app.services import Services


def test_open_jobs_are_counted_at_once_and_ended_jobs_at_each_renewal(services: Services) -> None:
    counter = JobCounter(services.database)
    with services.database.write() as session:
        for name in ("a", "b", "c"):
            lifecycle.create(session, name, "training")
        lifecycle.dismiss(session, "a")
        claims.claim(session, "b")
    still_open = {("training", "running"): 1, ("training", "accepted"): 1}
    assert counter.counts() == still_open
    counter.renew()
    assert counter.counts() == {**still_open, ("training", "dismissed"): 1}
