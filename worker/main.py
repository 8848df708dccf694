"""The composition root of the worker: a Celery app with one task, the background threads, and reports for /readyz."""

import os
import socket
import sys
import threading
import warnings
from datetime import timedelta
from functools import partial

import structlog
from celery.apps import worker as celery_worker
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down
from celery.worker.control import Panel
from sqlalchemy import delete

from app.core import tracing
from app.core.columns import now
from app.core.db import OF_A_WORKER
from app.core.periodic import every, start_every
from app.core.startup import calm_collection, configure_logs
from app.jobs.queue import TASK, make_celery
from app.operations.background import start_rounds
from app.services import Services
from app.settings import Settings
from app.tables import Worker
from worker import gpu, metrics, resume, scratch, walls
from worker.process import import_for, prepare
from worker.supervisor import perform_all

REPORT_S = 5.0
SWEEP_S = 3600.0
CONTROL = {"ping"}  # the only command that just asks
log = structlog.get_logger()


def run(settings: Settings, queues: list[str]) -> None:
    """Do the jobs of some queues until the process is asked to stop. On SIGTERM a running job is given back."""
    configure_logs(settings)
    tracing.begin("canemap-worker")
    # run by root, Celery warns of pickled messages; this app accepts only JSON
    warnings.filterwarnings("ignore", category=SecurityWarning)
    services = Services.open(settings, OF_A_WORKER)
    scratch.sweep(settings.data_dir / "scratch", services.database)
    stopping = threading.Event()
    celery = make_celery(settings)
    celery_worker.safe_say = lambda *_: None  # it prints beside the log, which may be JSON for machines
    celery.connection_for_read().get_transport_cls()  # of no known kind, it ends this process now, not after `prepare`
    import_for(queues, settings)
    gpu.hide_others(settings.gpu)
    prepare()
    try:
        own_gpu = gpu.WorkerGpu(settings.gpu, settings.data_dir / "gpus", shared=settings.gpu_shared)
    except RuntimeError as error:
        sys.exit(str(error))
    if not walls.are_possible():
        log.warning("the kernel has no Landlock, or an old one: a job that reads a file can open other files")
    restrict_control()
    if settings.worker_metrics:
        metrics.serve(settings.worker_metrics)

    def do(_: str) -> None:
        perform_all(services, queues, stopping, own_gpu)

    celery.task(name=TASK)(do)
    setup_logging.connect(lambda **_: None, weak=False)  # `configure_logs` has set up logging already
    worker_shutting_down.connect(lambda **_: stopping.set(), weak=False)
    worker_ready.connect(lambda **_: _start_threads(services, queues, stopping, own_gpu), weak=False)
    celery.worker_main(_arguments(queues))
    stopping.set()
    services.close()


def restrict_control() -> None:
    """Take the commands from Celery that would end this worker, or keep it from its queues, by a message of anybody.

    Whoever can write to the broker could send them. The database says what is to be done, and SIGTERM ends a worker.
    """
    for name in set(Panel.data) - CONTROL:
        del Panel.data[name]


def _arguments(queues: list[str]) -> list[str]:
    # one job at a time, supervised by a thread: with the pool "solo" Celery cannot be reached while a job runs
    name = f"{'-'.join(queues)}-{os.getpid()}@%h"
    return [
        "--quiet",
        "worker",
        "--pool=threads",
        "--concurrency=1",
        f"--queues={','.join(queues)}",
        f"--hostname={name}",
        # what workers tell each other grows with the square of their number, and nobody needs it: the database knows
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        "--loglevel=WARNING",
    ]


def _start_threads(services: Services, queues: list[str], stopping: threading.Event, own_gpu: gpu.WorkerGpu) -> None:
    calm_collection()
    start_rounds(services, stopping)
    keep = timedelta(days=services.settings.keep_unfinished_d)
    unfinished = partial(resume.sweep, services.store, services.database, keep)
    start_every(SWEEP_S, unfinished, stopping, name="unfinished results")
    threading.Thread(target=_report_living, args=(services, queues, stopping, own_gpu), daemon=True).start()
    log.info("worker ready", queues=queues)


def _report_living(services: Services, queues: list[str], stopping: threading.Event, own_gpu: gpu.WorkerGpu) -> None:
    """Report regularly, for /readyz, that this worker lives; delete the report at the end."""
    worker_id = f"{socket.gethostname()}:{os.getpid()}"

    def report() -> None:
        with services.database.write() as session:
            session.merge(Worker(id=worker_id, queues=queues, seen=now(), trouble=own_gpu.trouble or None))

    every(REPORT_S, report, stopping, name="report of this worker")
    with services.database.write() as session:
        session.execute(delete(Worker).where(Worker.id == worker_id))
