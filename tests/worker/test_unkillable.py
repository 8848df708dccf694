"""A child that SIGKILL does not end, as one is that is stuck in a driver: the worker gives its job up, and ends."""

import os
import subprocess
import sys

from app.jobs import lifecycle
from app.services import Services
from app.tables import Job
from benchmarks.soak.fleet import ROOT, descendants
from tests.unkillable import kept_by_the_kernel
from tests.waiting import eventually
from worker.supervisor import STUCK

JOB = "trn_1"
WORKER = """
import threading
from multiprocessing import forkserver
from app.services import Services
from app.settings import Settings
from tests.worker import children
from worker import process
from worker.supervisor import perform

forkserver._forkserver._preload_modules = ["worker.process"]
process.UNKILLABLE_S = 0.5
perform(Services.open(Settings()), "training", threading.Event(), children.hangs)
"""


def read(services: Services) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, JOB)


def test_a_child_that_cannot_be_killed_loses_its_job_and_ends_its_worker(services: Services) -> None:
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
    settings = services.settings.model_copy(update={"stall_s": 2, "heartbeat_s": 0.1, "retry_pauses_s": "60"})
    named = {f"CANEMAP_{name.upper()}": str(value) for name, value in settings.model_dump().items()}
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env={**os.environ, **named}, cwd=ROOT)
    try:
        eventually(lambda: read(services).status == "running")
        (child,) = (pid for pid, depth in descendants(worker.pid) if depth == 2)
        with kept_by_the_kernel(child):
            assert worker.wait(timeout=60) == STUCK
            job = read(services)
            beats = job.beat_seq
    finally:
        worker.kill()
        worker.wait()
    assert (job.status, job.failures) == ("accepted", 1)
    assert "its process could not be killed" in job.message
    assert read(services).beat_seq == beats
