"""The fresh process that does one job: a clean device, and its memory goes back with it."""

import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

import structlog

from app.core.garbage import calm_collection
from app.core.startup import configure_logs
from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from worker.attempt import work
from worker.context import Held

Main = Callable[[Settings, lifecycle.Claim, Connection], None]


def wait_for_claim(main: Main, settings: Settings, keeper: Connection) -> None:
    """Do the job whose claim the keeper sends; end if it has none to give. The keeper alone decides when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        claim = keeper.recv()
    except EOFError:
        return
    main(settings, claim, keeper)


def main(settings: Settings, claim: lifecycle.Claim, keeper: Connection) -> None:
    """Do the claimed job and end it, whatever comes of it."""
    configure_logs(settings)
    calm_collection()
    _limit_threads(settings)
    services = Services.open(settings)
    held = Held(services.database, claim, keeper)
    with structlog.contextvars.bound_contextvars(job=claim.job_id, attempt=claim.attempt), held.listening():
        work(services, held)
    services.close()


def _limit_threads(settings: Settings) -> None:
    if settings.torch_threads:
        import torch

        torch.set_num_threads(settings.torch_threads)
