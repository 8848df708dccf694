"""What a job comes to when CUDA fails: with torch's own errors, as a GPU raises them."""

from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch

from app.jobs import claims, lifecycle
from app.services import Services
from app.tables import Job
from worker import attempt, resume
from worker.context import JobContext, Outcome
from worker.gpu_errors import gpu_error

JOB = "trn_1"
ALONE = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.25 GiB is "
    "free. Including non-PyTorch memory, this process has 77.88 GiB memory in use. Of the allocated memory 76.10 GiB "
    "is allocated by PyTorch, and 512.00 MiB is reserved by PyTorch but unallocated."
)
BESIDE = (
    "CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 79.15 GiB of which 256.00 MiB is "
    "free. Process 4711 has 60.00 GiB memory in use. Including non-PyTorch memory, this process has 18.88 GiB memory "
    "in use. Of the allocated memory 18.10 GiB is allocated by PyTorch."
)
FAULTS = (
    lambda: torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with ..."),
    lambda: RuntimeError("CUDA error: device-side assert triggered"),
    lambda: RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    lambda: RuntimeError("CUBLAS_STATUS_INTERNAL_ERROR when calling cublasSgemm"),
)


def attempt_that_raises(services: Services, error: BaseException) -> Job:
    """The job after a worker has claimed it and its work has left an epoch and raised `error`."""
    with services.database.write() as session:
        claim = claims.claim(session, JOB)
    assert claim is not None

    def work(services: Services, context: JobContext, folder: Path) -> Outcome:
        (folder / resume.FILE).write_bytes(b"an epoch")
        resume.ResumeFile(services.store, claim, folder).keep()
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "WORK", {"training": work})
        attempt.work(services, JobContext(services.database, claim, Pipe()[0]))
    with services.database.read() as session:
        return lifecycle.get(session, JOB)


@pytest.fixture
def waiting(services: Services) -> Services:
    """Services with an accepted job."""
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
    return services


def kept(services: Services) -> list[str]:
    return list(services.store.keys(resume.place_of(JOB)))


def test_a_gpu_that_other_processes_have_filled_gives_the_job_back(waiting: Services) -> None:
    job = attempt_that_raises(waiting, torch.OutOfMemoryError(BESIDE))
    assert (job.status, job.failures, job.returns) == ("accepted", 0, 1)
    assert "full of the memory of other processes" in job.message
    assert kept(waiting)


def test_a_job_that_fills_a_gpu_alone_fails_at_once_with_what_to_make_smaller(waiting: Services) -> None:
    job = attempt_that_raises(waiting, torch.OutOfMemoryError(ALONE))
    assert (job.status, job.failures) == ("failed", 0)
    assert job.error is not None and job.error.type == "out-of-memory"
    assert "The GPU" in job.error.detail and "batch_size" in job.error.detail


@pytest.mark.parametrize("make", FAULTS)
def test_another_error_of_cuda_is_a_counted_failure_that_keeps_what_was_done(
    waiting: Services, make: Callable[[], Exception]
) -> None:
    for failures in (1, 2):
        job = attempt_that_raises(waiting, make())
        assert (job.status, job.failures) == ("accepted", failures)
        assert job.message.startswith("fault of a GPU: its process met an error of its GPU: ")
        assert kept(waiting)
    job = attempt_that_raises(waiting, make())
    assert job.status == "failed"
    assert job.error is not None and job.error.type == "gpu-fault"
    assert [end.outcome for end in job.attempts] == ["gpu-fault"] * 3
    assert kept(waiting), "a retry on request goes on with it"


def test_an_error_of_cuda_is_found_below_another_one() -> None:
    try:
        try:
            raise RuntimeError("CUDA error: unspecified launch failure")
        except RuntimeError as error:
            raise ValueError("the map could not be made") from error
    except ValueError as error:
        found = gpu_error(error)
    assert found is not None and found.what == "fault"
    assert gpu_error(ValueError("no CUDA here")) is None
    assert gpu_error(RuntimeError("The size of tensor a must match the size of tensor b")) is None
