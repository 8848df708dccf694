"""What children of a keeper may do, for tests: functions that a fresh process can import."""

import os
import signal
import time
from multiprocessing.connection import Connection

from app.jobs import Claim
from app.services import Services
from app.settings import Settings
from ml.progress import Progress, Stopped
from worker.held import Held


def steps(settings: Settings, claim: Claim, keeper: Connection) -> None:
    """Work in small steps; when told to stop, end without ending the job."""
    services = Services.open(settings)
    held = Held(services.database, claim, keeper)
    with held.listening():
        try:
            for step in range(10_000):
                held.watch(Progress("train", step, 10_000))
                time.sleep(0.01)
        except Stopped:
            pass


def hangs(settings: Settings, claim: Claim, keeper: Connection) -> None:
    """Hear nothing, say nothing."""
    signal.pause()


def dies(settings: Settings, claim: Claim, keeper: Connection) -> None:
    """As when the system is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(settings: Settings, claim: Claim, keeper: Connection) -> None:
    """End with an error that no code of ours expects."""
    os._exit(7)


def maps(settings: Settings, claim: Claim, keeper: Connection) -> None:
    """Go on with a map whose first 1,000 pixels an earlier attempt has computed, and end before its end."""
    for done in (1, 2, 4):
        keeper.send(Progress("predict", done, 5, pixels=1000 * done))
