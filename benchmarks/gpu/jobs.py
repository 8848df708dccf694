"""Checks of what becomes of jobs when their GPU, or anything else that they need, is not there."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from io import StringIO
from multiprocessing import Pipe
from pathlib import Path
from unittest.mock import patch

import torch

from app.core.db import migrate
from app.core.errors import StoreAway
from app.core.startup import configure_logs
from app.jobs import claims, lifecycle
from app.services import Services
from app.settings import Settings
from app.tables import Job
from benchmarks.gpu.check import GIB, Check, Found, Machine
from worker import attempt
from worker.context import JobContext, Outcome

ROOT = Path(__file__).resolve().parents[2]
YOUNGER = 5
# as torch words it, here with and without memory that other processes have
_FULL = (
    "CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 79.15 GiB of which 256.00 MiB is "
    "free. {others}Including non-PyTorch memory, this process has {ours} GiB memory in use."
)
_OTHERS = "Process 4711 has 60.00 GiB memory in use. "
_HOG = """
import sys, torch
free, _ = torch.cuda.mem_get_info()
kept = torch.empty(free - (2 << 30), dtype=torch.uint8, device="cuda")
print("full", flush=True)
sys.stdin.read()
"""


def beside_others(machine: Machine) -> Found:
    """A job that finds its GPU full of the memory of another process."""
    with _hog() if machine.gpu else nullcontext():
        error = _real_error(4 * GIB) if machine.gpu else torch.OutOfMemoryError(_FULL.format(others=_OTHERS, ours=18.9))
    job = _after(machine, error)
    good = (job.status, job.failures, job.returns) == ("accepted", 0, 1)
    return Found(good, f"{job.status}, {job.failures} failures, {job.returns} returns: {job.message}")


def alone(machine: Machine) -> Found:
    """A job that alone needs more memory than its GPU has."""
    error = torch.OutOfMemoryError(_FULL.format(others="", ours=78.9))
    if machine.gpu:
        error = _real_error(2 * torch.cuda.get_device_properties(machine.device).total_memory)
    job = _after(machine, error)
    kind = job.error.type if job.error else ""
    return Found((job.status, kind) == ("failed", "out-of-memory"), f"{job.status}, {kind}: {job.message}")


@contextmanager
def _hog() -> Iterator[None]:
    """Another process that has all but 2 GiB of the GPU."""
    command = [sys.executable, "-c", _HOG]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.stdin.close()


def _real_error(size: int) -> torch.OutOfMemoryError:
    """What torch raises when that many bytes of the GPU are wanted."""
    try:
        torch.empty(size, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError as error:
        return error
    raise RuntimeError(f"{size} bytes of the GPU were free")


def _after(machine: Machine, error: Exception) -> Job:
    """A job after its first attempt raised `error`."""
    with _services(machine) as services:
        _create(services, "trn_1")
        _attempt(services, {"trn_1": error})
        with services.database.read() as session:
            return lifecycle.get(session, "trn_1")


def starving(machine: Machine) -> Found:
    """Younger jobs beside an older one that can never be done, by one worker."""
    names = ["trn_old", *(f"trn_{number}" for number in range(YOUNGER))]
    with _services(machine, max_returns=3, return_pauses_s="0,0") as services:
        for name in names:
            _create(services, name)
        away = {"trn_old": StoreAway("store-away", "The store refuses this file.")}
        for _ in range(3 * len(names)):
            _attempt(services, away)
        with services.database.read() as session:
            jobs = [lifecycle.get(session, name) for name in names]
    old, *younger = jobs
    done = sum(job.status == "successful" for job in younger)
    good = done == YOUNGER and (old.status, old.returns) == ("failed", 3)
    return Found(good, f"{done} of {YOUNGER} younger jobs done; the older: {old.status} after {old.returns} returns")


@contextmanager
def _services(machine: Machine, **changes: object) -> Iterator[Services]:
    """The services of a new installation in the folder of the check."""
    settings = Settings(data_dir=machine.folder).model_copy(update=changes)
    configure_logs(settings, StringIO())  # the errors are those that the check wants
    migrate(settings)
    services = Services.open(settings)
    try:
        yield services
    finally:
        services.close()


def _create(services: Services, name: str) -> None:
    with services.database.write() as session:
        lifecycle.create(session, name, "training")


def _attempt(services: Services, errors: Mapping[str, Exception]) -> None:
    """Let a worker claim a job, if one waits, and do it, which raises the error of the job if it has one."""
    with services.database.write() as session:
        claim = claims.claim_waiting(session, "training")
    if claim is None:
        return

    def work(_services: Services, context: JobContext, _folder: Path) -> Outcome:
        if error := errors.get(context.claim.job_id):
            raise error
        return Outcome(record=lambda _session, _files: None)

    with patch.object(attempt, "WORK", {"training": work}):
        attempt.work(services, JobContext(services.database, claim, Pipe()[0]))


def required(machine: Machine) -> Found:
    """A worker that must have a GPU and has none."""
    environment = os.environ | {"CANEMAP_DATA_DIR": str(machine.folder)}
    environment |= {"CANEMAP_GPU": "required", "CUDA_VISIBLE_DEVICES": ""}
    migrate(Settings(data_dir=machine.folder))
    command = [sys.executable, "-m", "worker", "--queues", "prediction"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    said = done.stderr.splitlines()[-1] if done.stderr else ""
    good = done.returncode == 1 and "no GPU can be used" in said and "torch" in said
    return Found(good, f"exit code {done.returncode}: {said}")


CHECKS = (
    Check("out of memory beside others", "the job is given back, without a failure", beside_others),
    Check("out of memory alone", "the job fails as out-of-memory", alone),
    Check("no GPU where one is required", "the worker ends and says why", required),
    Check("a job that is always given back starves nobody", "the younger jobs are done, and it fails", starving),
)
