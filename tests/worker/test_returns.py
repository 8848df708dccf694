"""Jobs that a worker cannot do now: they pause, keep no younger job waiting, and do not wait for ever."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import forkserver

import pytest

from app.jobs import claims, lifecycle
from app.services import Services
from app.tables import Job
from tests.worker import children
from worker.process import prepare
from worker.supervisor import perform

OLD, YOUNG = "trn_1", "trn_2"


@pytest.fixture(scope="module", autouse=True)
def forkserver_without_torch() -> Iterator[None]:
    """Let the forkserver start without torch, in a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkserver._forkserver, "_preload_modules", ["worker.process"])
        yield
        prepare()


@pytest.fixture
def two(services: Services) -> Services:
    """Services with two accepted jobs. The store refuses the older one."""
    for job in (OLD, YOUNG):
        with services.database.write() as session:
            lifecycle.create(session, job, "training")
    return replace(services, settings=services.settings.model_copy(update={"return_pauses_s": "60,300"}))


def read(services: Services, job: str) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, job)


def work(services: Services) -> bool:
    return perform(services, "training", threading.Event(), children.refused_by_the_store)


def test_the_worker_goes_on_with_a_younger_job(two: Services) -> None:
    assert work(two) and work(two)
    assert (read(two, OLD).status, read(two, YOUNG).status) == ("accepted", "successful")
    assert not work(two), "the older one pauses"


def test_a_job_pauses_longer_each_time_and_fails_in_the_end_with_its_cause(two: Services) -> None:
    few = replace(two, settings=two.settings.model_copy(update={"max_returns": 3}))
    for returns, pause_s in ((1, 60), (2, 300)):
        work(few)
        job = read(few, OLD)
        assert (job.status, job.returns, job.failures, job.pause_s) == ("accepted", returns, 0, pause_s)
        assert job.next_attempt is not None
        assert f"(return {returns} of 3); tried again at {job.next_attempt:%H:%M:%S} UTC" in job.message
        with few.database.write() as session:
            lifecycle.end_pause(session, job)
    work(few)
    job = read(few, OLD)
    assert (job.status, job.returns) == ("failed", 3)
    assert job.error is not None and job.error.type == "given-back-too-often"
    assert "the store cannot be reached" in job.error.detail
    with few.database.read() as session:
        assert lifecycle.read_log(session, OLD)[-1].text == f"failed: {job.error.detail}"


def test_a_retry_on_request_counts_from_the_beginning(two: Services) -> None:
    work(replace(two, settings=two.settings.model_copy(update={"max_returns": 1})))
    with two.database.write() as session:
        lifecycle.retry(session, OLD)
    assert (read(two, OLD).status, read(two, OLD).returns) == ("accepted", 0)


def test_a_job_that_was_dismissed_meanwhile_is_not_kept(two: Services) -> None:
    with two.database.write() as session:
        claim = claims.claim(session, OLD)
        assert claim is not None
        lifecycle.dismiss(session, OLD)
        claims.give_back(session, claim, "the store cannot be reached", max_returns=9, pause_after=float)
    assert read(two, OLD).status == "dismissed"
