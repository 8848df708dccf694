"""Workers with and without a GPU: what they claim, and what they do when theirs fails. No GPU is needed."""

import os
import threading

import pytest
import torch

from app.core.columns import now
from app.jobs import claims, lifecycle
from app.operations.readiness import Readiness, living_queues
from app.services import Services
from app.tables import Job, Worker
from tests.worker import children
from worker import gpu
from worker.gpu import WorkerGpu
from worker.process import Main
from worker.supervisor import perform

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def read(services: Services, job: str) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, job)


def create(services: Services, *ids: str, needs_gpu: bool = False) -> None:
    for id_ in ids:
        with services.database.write() as session:
            lifecycle.create(session, id_, "training", needs_gpu=needs_gpu)


def work(services: Services, main: Main, own: WorkerGpu) -> bool:
    return perform(services, "training", threading.Event(), main, own)


@NO_GPU
@pytest.mark.parametrize("chosen", ["required", "0"])
def test_a_worker_that_must_have_a_gpu_does_not_start_without_one(chosen: str) -> None:
    with pytest.raises(RuntimeError, match=f"CANEMAP_GPU is {chosen}, but no GPU can be used: torch .* finds no GPU; "):
        WorkerGpu(chosen)


def test_a_worker_without_a_gpu_leaves_a_job_that_needs_one_to_others(services: Services) -> None:
    create(services, "trn_1", needs_gpu=True)
    create(services, "trn_2")
    assert read(services, "trn_1").message == "waiting for a worker with a GPU"
    assert work(services, children.succeeds, WorkerGpu("none"))
    assert (read(services, "trn_1").attempt, read(services, "trn_2").status) == (0, "successful")
    assert not work(services, children.succeeds, WorkerGpu("none"))
    with services.database.write() as session:
        claim = claims.claim_waiting(session, "training", gpu=True)
    assert claim is not None and claim.job_id == "trn_1"


@NO_GPU
def test_a_worker_whose_gpu_fails_claims_no_more_jobs_and_readiness_says_so(services: Services) -> None:
    create(services, "trn_1", "trn_2")
    own = WorkerGpu("auto")
    assert own.trouble == ""
    assert work(services, children.meets_an_error_of_cuda, own)
    assert (read(services, "trn_1").status, read(services, "trn_1").failures) == ("accepted", 1)
    assert "cannot be used: torch" in own.trouble
    assert not work(services, children.succeeds, own)
    assert read(services, "trn_2").attempt == 0
    with services.database.write() as session:
        session.add(Worker(id="host:1", queues=["training"], seen=now(), trouble=own.trouble))
    assert living_queues(services) == set()
    (note,) = Readiness(services).warnings()
    assert (note.code, own.trouble in note.detail) == ("worker_in_trouble", True)


def test_jobs_see_only_the_gpu_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu.HIDDEN, "3,4")
    for chosen, visible in (("auto", "3,4"), ("required", "3,4"), ("1", "1"), ("GPU-7a", "GPU-7a"), ("none", "")):
        gpu.hide_others(chosen)
        assert os.environ[gpu.HIDDEN] == visible
