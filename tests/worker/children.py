"""Functions that a supervised child process runs in tests. They are here so that a new process can import them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.core.errors import StoreAway
from app.jobs import lifecycle
from app.jobs.claims import Claim
from app.services import Services
from app.settings import Settings
from app.storage import Stored
from ml.contract import BINARY, Contract
from ml.geo.windows import Window
from ml.products.polygon_files import write_polygons
from ml.progress import Progress, Stopped
from ml.scenes.source import RasterSource, Source
from tests.ml.conftest import write_scene
from worker import attempt, process
from worker.attempt import _publish
from worker.context import JobContext, Outcome
from worker.process import Main

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from ml.nn.prediction.row_stream import StreamNet
    from ml.nn.prediction.stripes import InputPiece

PRODUCT = b"a map" * 1000
FILE_EVENTS = ("open", "os.rename", "os.link", "os.remove", "os.mkdir")  # audit events before the file system changes


def steps(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Work in small steps. When asked to stop, end the process without ending the job."""
    services = Services.open(settings)
    context = JobContext(services.database, claim, supervisor)
    with context.listening():
        try:
            for step in range(10_000):
                context.watch(Progress("train", step, 10_000))
                time.sleep(0.01)
        except Stopped:
            pass


def waits_for_message(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Begin the real work only when the supervisor has sent a message, however quick the work is."""
    supervisor.poll(None)
    process.main(settings, claim, supervisor)


def _many_polygons(folder: Path) -> None:
    """Write a class map of noise and its thousands of polygons."""
    values = (np.random.default_rng(0).random((1, 300, 300)) < 0.4).astype(np.uint8)
    write_scene(folder / "noise.tif", values, nodata=255)
    found = write_polygons(folder / "noise.tif", BINARY, folder / "a.geojson", folder / "a.gpkg", min_area_ha=0)
    assert found[1].count > 5000, found


TRIES: Mapping[str, Callable[[str], object]] = {
    "read": lambda path: Path(path).read_bytes(),
    "list": lambda path: list(Path(path).iterdir()),
    "write": lambda path: Path(path, "new").write_bytes(b"text"),
    "connect": lambda port: socket.create_connection(("127.0.0.1", int(port))).close(),
    "signal": lambda pid: os.kill(int(pid), 0),
    "polygons": lambda folder: _many_polygons(Path(folder)),
    "run": lambda path: subprocess.run([path, "--version"], check=True, capture_output=True),
}


def pries(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Do a job that tries each line of the file `tries` of its folder, and logs how that went."""

    def pry(services: Services, context: JobContext, folder: Path) -> Outcome:
        for line in folder.with_name("tries").read_text().splitlines():
            name, what = line.split(maxsplit=1)
            try:
                TRIES[name](what)
                context.log(f"{name} {what}: done")
            except PermissionError:
                context.log(f"{name} {what}: forbidden")
        return Outcome(lambda session, stored: None)

    vars(attempt)["WORK"] = {"training": pry}
    process.main(settings, claim, supervisor)


def _in_a_reader(do: Callable[[], object]) -> Main:
    """A job that reads a scene, in which `do` is done where GDAL would decode pixels."""

    def main(settings: Settings, claim: Claim, supervisor: Connection) -> None:
        class Dataset:
            def read(self, *_: object, **__: object) -> None:
                do()

        def read(services: Services, context: JobContext, folder: Path) -> Outcome:
            source = RasterSource.__new__(RasterSource)
            source._dataset, source.indexes, source.rows, source.cols = cast("DatasetReader", Dataset()), [1], 9, 9
            source.dtype = np.dtype("uint16")
            context.watch(Progress("audit", 0, 9, "a", file="scene 'a'"))
            source.read_raw(Window(0, 0, 9, 9))
            raise AssertionError("it ends before")

        vars(attempt)["WORK"] = {"training": read}
        process.main(settings, claim, supervisor)

    return main


def crashes_in_a_reader(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """End by SIGSEGV while the pixels of a scene are read."""
    _in_a_reader(lambda: ctypes.string_at(0))(settings, claim, supervisor)


def hangs_in_a_reader(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Hang while the pixels of a scene are read."""
    _in_a_reader(signal.pause)(settings, claim, supervisor)


def is_killed_in_a_reader(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """End by SIGKILL while the pixels of a scene are read."""
    _in_a_reader(lambda: os.kill(os.getpid(), signal.SIGKILL))(settings, claim, supervisor)


def crashes_elsewhere(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """End by SIGSEGV in work that reads no file."""

    def crash(services: Services, context: JobContext, folder: Path) -> Outcome:
        context.watch(Progress("audit", 0, 9, "a", file="scene 'a'"))
        ctypes.string_at(0)
        raise AssertionError("it ends before")

    vars(attempt)["WORK"] = {"training": crash}
    process.main(settings, claim, supervisor)


def refused_by_the_store(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Do a job, unless it is the first one: the store refuses what that one needs."""

    def ask(services: Services, context: JobContext, folder: Path) -> Outcome:
        if claim.job_id == "trn_1":
            raise StoreAway("store-away", "The store refuses the request (403).")
        return Outcome(lambda session, stored: None)

    vars(attempt)["WORK"] = {"training": ask}
    process.main(settings, claim, supervisor)


def meets_an_error_of_cuda(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Do a job on a GPU that fails."""

    def compute(services: Services, context: JobContext, folder: Path) -> Outcome:
        import torch

        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    vars(attempt)["WORK"] = {"training": compute}
    process.main(settings, claim, supervisor)


def succeeds(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Do a job without doing anything."""
    vars(attempt)["WORK"] = {"training": lambda *_: Outcome(lambda session, stored: None)}
    process.main(settings, claim, supervisor)


def succeeds_and_dies(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Do a job, and end by SIGKILL before what is not needed any more is deleted."""
    vars(attempt)["resume"].forget = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    succeeds(settings, claim, supervisor)


def begins_slowly(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Do a job whose first step takes a second, and the others nothing."""

    def step(services: Services, context: JobContext, folder: Path) -> Outcome:
        for done in range(3):
            context.watch(Progress("train", done, 3))
            time.sleep(1.0 if done == 0 else 0.3)
        return Outcome(lambda session, stored: None)

    vars(attempt)["WORK"] = {"training": step}
    process.main(settings, claim, supervisor)


def hangs(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Neither receive nor send anything."""
    signal.pause()


def dies(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """End by SIGKILL, as when the system is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def exits(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """End the process with the code 7 and without ending the job."""
    os._exit(7)


def maps(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Report progress of a map whose first 1,000 pixels an earlier attempt has made, and end before it is complete."""
    for done in (1, 2, 4):
        supervisor.send(Progress("predict", done, 5, pixels=1000 * done))


def maps_and_dies(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Make a map, log its pieces, and end by SIGKILL in the middle."""

    class Mortal(JobContext):
        def watch(self, progress: Progress) -> None:
            super().watch(progress)
            if progress.stage == "predict" and progress.done > progress.total // 2:
                os.kill(os.getpid(), signal.SIGKILL)

    vars(process)["JobContext"] = Mortal
    maps_and_logs(settings, claim, supervisor)


def maps_and_logs(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Make a map. The file `rows-1` of attempt 1 has the first row and the number of rows of each input of the net."""
    from ml.nn.prediction import stripes

    read_piece, log = stripes.read_piece, (settings.data_dir / f"rows-{claim.attempt}").open("a")

    def logged(net: "StreamNet", contract: Contract, source: Source, window: Window) -> "InputPiece":
        print(window.row, window.rows, file=log, flush=True)
        return read_piece(net, contract, source, window)

    stripes.read_piece = logged
    process.main(settings, claim, supervisor)


def publishes(settings: Settings, claim: Claim, supervisor: Connection) -> None:
    """Publish a product, and end by SIGKILL before the n-th step. The supervisor sends n after the claim."""
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
    sys.addaudithook(lambda name, _: step() if name in FILE_EVENTS else None)
    _publish(services, context, Outcome(record, {"map.tif": file}))
    os._exit(0)
