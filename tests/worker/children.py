"""What children of a keeper may do, for tests: functions that a fresh process can import."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.jobs import lifecycle
from app.jobs.lifecycle import Claim
from app.services import Services
from app.settings import Settings
from app.storage import Stored
from ml.contract import Contract
from ml.geo.windows import Window
from ml.progress import Progress, Stopped
from ml.scenes.source import Source
from worker import process
from worker.attempt import _publish
from worker.context import JobContext, Outcome

if TYPE_CHECKING:
    from ml.nn.prediction.row_stream import StreamNet
    from ml.nn.prediction.stripes import InputPiece

PRODUCT = b"a map" * 1000
TOUCHES = ("open", "os.rename", "os.link", "os.remove", "os.mkdir")  # audit events: the file system is about to change


def steps(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Work in small steps; when told to stop, end without ending the job."""
    services = Services.open(settings)
    context = JobContext(services.database, claim, supervisor)
    with context.listening():
        try:
            for step in range(10_000):
                context.watch(Progress("train", step, 10_000))
                time.sleep(0.01)
        except Stopped:
            pass


def hears_first(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Begin the real work only when there is something to hear, however quick the work is."""
    supervisor.poll(None)
    process.main(settings, claim, supervisor)


def hangs(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Hear nothing, say nothing."""
    signal.pause()


def dies(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """As when the system is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """End with an error that no code of ours expects."""
    os._exit(7)


def maps(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Go on with a map whose first 1,000 pixels an earlier attempt has computed, and end before its end."""
    for done in (1, 2, 4):
        supervisor.send(Progress("predict", done, 5, pixels=1000 * done))


def maps_and_dies(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Make a map, and die of SIGKILL in the middle of it."""

    class Mortal(JobContext):
        def watch(self, progress: Progress) -> None:
            super().watch(progress)
            if progress.stage == "predict" and progress.done > progress.total // 2:
                os.kill(os.getpid(), signal.SIGKILL)

    vars(process)["JobContext"] = Mortal
    maps_and_tells(settings, claim, supervisor)


def maps_and_tells(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Make a map; the file `rows-1` of attempt 1 tells the first row and the rows of each piece that the net saw."""
    from ml.nn.prediction import stripes

    give, log = stripes.give, (settings.data_dir / f"rows-{claim.attempt}").open("a")

    def tell(net: "StreamNet", contract: Contract, source: Source, window: Window) -> "InputPiece":
        print(window.row, window.rows, file=log, flush=True)
        return give(net, contract, source, window)

    stripes.give = tell
    process.main(settings, claim, supervisor)


def publishes(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Publish a product, and die of SIGKILL before the n-th step of it: n is what the keeper sends next."""
    left = supervisor.recv()
    services = Services.open(settings)
    context = JobContext(services.database, claim, supervisor)
    file = settings.data_dir / "map.tif"
    file.write_bytes(PRODUCT)

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        lifecycle.get(session, claim.job_id).message = stored["map.tif"].object

    for name in ("before_cursor_execute", "commit"):
        event.listen(services.database.engine, name, step)
    sys.addaudithook(lambda name, _: step() if name in TOUCHES else None)
    _publish(services, context, Outcome(record, {"map.tif": file}))
    os._exit(0)
