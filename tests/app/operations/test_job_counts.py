"""Counts of jobs, on both databases."""

from app.jobs import lifecycle
from app.operations.job_counts import JobCounter
from app.services import Services


def test_waiting_jobs_are_counted_at_once_and_ended_ones_when_it_is_renewed(services: Services) -> None:
    tally = JobCounter(services.database)
    with services.database.write() as session:
        for name in ("a", "b", "c"):
            lifecycle.create(session, name, "training")
        lifecycle.dismiss(session, "a")
        lifecycle.claim(session, "b")
    waiting = {("training", "running"): 1, ("training", "accepted"): 1}
    assert tally.counts() == waiting
    tally.renew()
    assert tally.counts() == {**waiting, ("training", "dismissed"): 1}
