"""Counts of jobs, on both databases."""

from app import jobs
from app.services import Services
from app.tally import Tally


def test_waiting_jobs_are_counted_at_once_and_ended_ones_when_it_is_renewed(services: Services) -> None:
    tally = Tally(services.database)
    with services.database.write() as session:
        for name in ("a", "b", "c"):
            jobs.create(session, name, "training")
        jobs.dismiss(session, "a")
        jobs.claim(session, "b")
    waiting = {("training", "running"): 1, ("training", "accepted"): 1}
    assert tally.counts() == waiting
    tally.renew()
    assert tally.counts() == {**waiting, ("training", "dismissed"): 1}
