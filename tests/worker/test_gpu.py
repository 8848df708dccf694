"""Workers with and without a GPU: what they claim, and what they do when theirs fails. No GPU is needed."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from app.core.columns import now
from app.jobs import claims, lifecycle
from app.operations.readiness import Readiness, living_queues
from app.services import Services
from app.tables import Job, Worker
from benchmarks.soak.fleet import ROOT
from tests.worker import children
from worker import gpu
from worker.gpu import WorkerGpu
from worker.gpu_use import used_by_this_process
from worker.process import Main
from worker.supervisor import perform

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


GPU = "GPU-7a0c"
HOLD = "import sys; from worker.gpu_lock import GpuLock; from pathlib import Path\n"
HOLD += "print(GpuLock(Path(sys.argv[1]), sys.argv[2], 'host:7').held, flush=True); sys.stdin.read()"


def locks(services: Services) -> Path:
    return services.settings.data_dir / "gpus"


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
def test_a_worker_that_must_have_a_gpu_does_not_start_without_one(chosen: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"CANEMAP_GPU is {chosen}, but no GPU can be used: torch .* finds no GPU; "):
        WorkerGpu(chosen, tmp_path)


def test_a_worker_without_a_gpu_leaves_a_job_that_needs_one_to_others(services: Services) -> None:
    create(services, "trn_1", needs_gpu=True)
    create(services, "trn_2")
    assert read(services, "trn_1").message == "waiting for a worker with a GPU"
    assert work(services, children.succeeds, WorkerGpu("none", locks(services)))
    assert (read(services, "trn_1").attempt, read(services, "trn_2").status) == (0, "successful")
    assert not work(services, children.succeeds, WorkerGpu("none", locks(services)))
    with services.database.write() as session:
        claim = claims.claim_waiting(session, "training", gpu=True)
    assert claim is not None and claim.job_id == "trn_1"


@NO_GPU
def test_a_worker_whose_gpu_fails_claims_no_more_jobs_and_readiness_says_so(services: Services) -> None:
    create(services, "trn_1", "trn_2")
    own = WorkerGpu("auto", locks(services))
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


def test_a_gpu_that_another_worker_has_is_not_used_unknowingly(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), GPU]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout and other.stdout.readline() == b"True\n"
        with pytest.raises(RuntimeError, match=f"the worker host:7 uses {GPU} already.*CANEMAP_GPU_SHARED=true"):
            gpu.take(GPU, tmp_path, must_be_alone=True)
        with capture_logs() as logged:
            assert not gpu.take(GPU, tmp_path, must_be_alone=False).held
        assert [each["event"] for each in logged] == ["another worker uses this GPU, too"]
        assert gpu.take("GPU-other", tmp_path, must_be_alone=True).held
        other.kill()
    assert gpu.take(GPU, tmp_path, must_be_alone=True).held, "the lock ends with its worker, however that ended"


def test_a_process_that_computes_on_no_gpu_names_none() -> None:
    assert torch.cuda.is_available() or used_by_this_process() == ""
