"""Has a child process read a stranger's file, and takes from it nothing but values of a known form."""

import atexit
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel, ValidationError

import app
from app.core.errors import Busy
from app.core.startup import PYTHON
from app.inspection import landlock
from app.inspection.child import FAULTS
from app.inspection.limits import Limit, Limits
from app.inspection.server import ENDED, SECONDS
from app.inspection.tasks import (
    CopyMade,
    CutPolygons,
    DrawnPicture,
    DrawScene,
    InspectCheckpoint,
    InspectLabels,
    InspectScene,
    InspectZones,
    LocatePixels,
    MakeCog,
    MeasureChange,
    MeasureZones,
    Order,
    Task,
)
from ml.checkpoint_header import CheckpointHeader
from ml.contract import ClassDef
from ml.faults import Fault, InputRefused
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport
from ml.products.zoned_polygons import ZonedPolygons
from ml.scenes.inspect import SceneInfo
from ml.surveys.change import Transitions
from ml.zones.areas import ClassesByZone
from ml.zones.inspect import InspectedZones
from ml.zones.locating import PlacesByZone
from ml.zones.read import ZoneOptions

PICTURE_BYTES = 32 << 20  # of an answer: 2048 x 2048 px of noise, as base64, have 22 MB
FEATURES_BYTES = 1 << 30  # of zones as GeoJSON
CORES = os.cpu_count() or 1
_SLACK_S = 5.0  # more than a child may take, before this process gives up waiting for it
# of this process's environment, which has passwords, the children get these variables alone
_ENVIRONMENT = (
    *("PATH", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV"),
    *("GDAL_DATA", "PROJ_DATA", "PROJ_LIB", "GDAL_CACHEMAX"),
)
# One thread each: children work side by side, and a process that is forked must have no other thread. One arena,
# because each further one takes 64 MiB of address space.
_FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GDAL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_SIGNALS: dict[int, Limit] = {signal.SIGXCPU: "core", signal.SIGXFSZ: "disk", signal.SIGKILL: "memory"}
Result = TypeVar("Result", bound=BaseModel)
log = structlog.get_logger()


class _ServerEnded(Exception):
    """The process from which children are forked ended before the child did."""


class ForkServer:
    """The process from which the children of this process are forked. It is started when it is needed first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, if it is not running, and do not wait for its imports, which take a second."""
        with self._lock:
            self._start()

    def fork(self, seconds: float) -> tuple[socket.socket, int]:
        """Fork a child; returns the connection to it, and the pipe on which the server reports its end.

        seconds: The child is killed when it has taken this long.
        """
        ours, its = socket.socketpair()
        report, its_report = os.pipe()
        try:
            with self._lock:
                control = self._start()
                try:
                    socket.send_fds(control, [SECONDS.pack(seconds)], [its.fileno(), its_report])
                except OSError:  # it has been killed
                    self._stop()
                    socket.send_fds(self._start(), [SECONDS.pack(seconds)], [its.fileno(), its_report])
        finally:
            its.close()
            os.close(its_report)
        return ours, report

    def stop(self) -> None:
        """End the process and its children."""
        with self._lock:
            self._stop()

    def kill(self) -> None:
        """End the process, even if it is stopped or hangs; its children die with it."""
        with self._lock:
            if self.process is not None:
                self.process.kill()
            self._stop()

    def _start(self) -> socket.socket:
        if self._control is None:
            if not landlock.version():
                log.warning("the kernel has no Landlock: a process that reads an upload can open other files")
            self._control, its = socket.socketpair()
            with its:
                self.process = subprocess.Popen(
                    [*PYTHON, "-m", "app.inspection.server"],
                    stdin=its.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=_environment(),
                    cwd="/",
                    start_new_session=True,
                )
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self.process is not None:
            self.process.wait()
            self.process = None


SERVER = ForkServer()
atexit.register(SERVER.stop)


@dataclass(frozen=True)
class Inspector:
    """Reads files of strangers, as many at once as this machine has cores.

    Beside them, copies of scenes with areas by zone, and pictures of scenes, have half the cores each: they never keep
    an upload waiting.

    Every method raises `InputRefused` with the faults of the file, which may be that it exceeds a limit, or `Busy`.

    limits: Limits of an inspection. wait_s: Longest time to wait until another file has been read, in seconds.
    """

    limits: Limits
    wait_s: float
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(CORES))
    copies: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(max(1, CORES // 2)))
    pictures: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(max(1, CORES // 2)))

    def scene(self, path: Path, *, bands: tuple[str, ...] | None, nodata: float | None) -> SceneInfo:
        """Inspect a scene, as `ml.scenes.inspect.inspect_scene` does."""
        return self._do(InspectScene(path=path, bands=bands, nodata=nodata), SceneInfo, self.limits)

    def labels(self, path: Path, options: LabelOptions) -> LabelReport:
        """Inspect a layer of labels, as `ml.labels.inspect.inspect_labels` does."""
        return self._do(InspectLabels(path=path, options=options), LabelReport, self.limits)

    def zones(self, path: Path, options: ZoneOptions, out: Path) -> InspectedZones:
        """Inspect a layer of zones, as `ml.zones.inspect.inspect_zones` does. out: In an empty folder."""
        limits = self.limits.model_copy(update={"disk_bytes": FEATURES_BYTES})
        return self._do(InspectZones(path=path, options=options, out=out), InspectedZones, limits)

    def zone_areas(self, path: Path, options: ZoneOptions, map_: Path, limits: Limits) -> ClassesByZone:
        """Measure the classes of a map in each zone of a layer, as `ml.zones.areas.classes_by_zone` does."""
        return self._do(MeasureZones(path=path, options=options, map=map_), ClassesByZone, limits)

    def zoned_polygons(
        self,
        path: Path,
        options: ZoneOptions,
        map_: tuple[Path, Path],
        classes: tuple[ClassDef, ...],
        out: Path,
        limits: Limits,
    ) -> ZonedPolygons:
        """Cut polygons at the borders of zones, as `ml.products.zoned_polygons.write_zoned_polygons` does.

        map_: The class map, and the GeoPackage of its polygons. out: In an empty folder.
        """
        task = CutPolygons(path=path, options=options, map=map_[0], polygons=map_[1], classes=classes, out=out)
        return self._do(task, ZonedPolygons, limits.model_copy(update={"disk_bytes": FEATURES_BYTES}))

    def transitions(
        self,
        earlier: Path,
        later: Path,
        classes: tuple[tuple[ClassDef, ...], tuple[ClassDef, ...]],
        zones: tuple[Path, ZoneOptions] | None,
        limits: Limits,
    ) -> Transitions:
        """Measure how two mosaics differ, as `ml.surveys.change.transitions` does.

        zones: A layer, and how it is read.
        """
        return self._do(MeasureChange(path=earlier, later=later, classes=classes, zones=zones), Transitions, limits)

    def zones_of_pixels(
        self, path: Path, options: ZoneOptions, map_: Path, rows: Sequence[int], cols: Sequence[int]
    ) -> PlacesByZone:
        """Find the zones of a layer in which pixels of a map lie, as `ml.zones.locating.pixels_by_zone` does."""
        task = LocatePixels(path=path, options=options, map=map_, rows=tuple(rows), cols=tuple(cols))
        return self._do(task, PlacesByZone, self.limits)

    def checkpoint(self, path: Path) -> CheckpointHeader:
        """Check a checkpoint and read its header, as `ml.checkpoint_tensors.inspect_checkpoint` does."""
        return self._do(InspectCheckpoint(path=path), CheckpointHeader, self.limits)

    def cog(self, path: Path, out: Path, limits: Limits) -> bool:
        """Copy a scene into a cloud-optimised GeoTIFF; returns False, and makes no copy, if it is one already.

        out: Its folder must be empty, and on the same disk as whatever `out` is moved to.
        """
        return self._do(MakeCog(path=path, out=out), CopyMade, limits).made

    def picture(self, task: DrawScene) -> DrawnPicture:
        """Draw a part of a scene, as `ml.products.scene_picture.draw` does."""
        return self._do(task, DrawnPicture, self.limits.model_copy(update={"answer_bytes": PICTURE_BYTES}))

    def _do(self, task: Task, result: type[Result], limits: Limits) -> Result:
        order = Order(task=task, limits=limits)
        with self._place(self._places_for(task)):
            for _ in range(2):
                with suppress(_ServerEnded):
                    return read(_converse(order), result, order.limits)
                log.error("the server of inspections has ended")
        raise Busy("inspection-away", "No file can be read at this moment; nothing was accepted.")

    def _places_for(self, task: Task) -> threading.Semaphore:
        match task:
            case MakeCog() | MeasureZones() | MeasureChange() | LocatePixels():
                return self.copies
            case DrawScene():
                return self.pictures
        return self.places

    @contextmanager
    def _place(self, places: threading.Semaphore) -> Iterator[None]:
        if not places.acquire(timeout=self.wait_s):
            raise Busy("too-busy", "Too many files are being read at this moment; nothing was accepted.")
        try:
            yield
        finally:
            places.release()


@dataclass(frozen=True)
class Answer:
    """What a child has answered, and how it ended.

    kind, text: As in `app.inspection.child`; empty if it gave no answer. exit_code: Negative if a signal ended it.
    overdue: Whether it was killed because it took too long.
    """

    kind: str
    text: bytes
    exit_code: int
    overdue: bool


def _converse(order: Order) -> Answer:
    """Have a child do an order; returns when the child has ended. Raises `_ServerEnded`."""
    connection, report = SERVER.fork(order.limits.wall_s)
    with connection, FileIO(report) as end:
        connection.settimeout(order.limits.wall_s + _SLACK_S)
        with suppress(OSError):  # it has ended, and `end` says how
            connection.sendall(order.model_dump_json().encode())
            connection.shutdown(socket.SHUT_WR)
        answer = _received(connection, order.limits.answer_bytes)
        connection.close()  # a child that has more to say ends now
        status = _reported(end)
    if len(status) < ENDED.size:
        raise _ServerEnded
    kind, _, text = answer.partition(b"\n")
    exit_code, overdue = ENDED.unpack(status)
    return Answer(kind.decode(errors="replace"), text, exit_code, overdue)


def _reported(end: FileIO) -> bytes:
    """How a child ended, as the server says; b"" if the server has ended, or hangs and is therefore killed."""
    waiting = select.poll()  # select.select takes no descriptor above 1023, and an API has many connections
    waiting.register(end, select.POLLIN)
    if not waiting.poll(1000 * _SLACK_S):
        log.error("the server of inspections hangs")
        SERVER.kill()
    return end.read(ENDED.size)


def _received(connection: socket.socket, most: int) -> bytes:
    """The answer of a child, cut off one byte after `most`."""
    answer = bytearray()
    with suppress(OSError):  # the child was killed
        while len(answer) <= most and (chunk := connection.recv(1 << 16)):
            answer += chunk
    return bytes(answer[: most + 1])


def read(answer: Answer, result: type[Result], limits: Limits) -> Result:
    """The result in an answer. Raises `InputRefused` if there is none, or `OSError` for a full disk."""
    if answer.exit_code or answer.overdue:
        raise InputRefused(fault_of_end(answer, limits))
    if len(answer.text) >= limits.answer_bytes:
        raise InputRefused(limits.fault("answer"))
    try:
        if answer.kind == "result":
            return result.model_validate_json(answer.text)
        if answer.kind == "faults":
            raise InputRefused(*FAULTS.validate_json(answer.text))
    except ValidationError as error:
        log.error("the answer of an inspection has another form", errors=error.error_count())
    if (answer.kind, answer.text) == ("limit", b"memory"):
        raise InputRefused(limits.fault("memory"))
    if (answer.kind, answer.text) == ("limit", b"room"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    log.error("a file could not be inspected", kind=answer.kind, detail=answer.text.decode(errors="replace"))
    raise InputRefused(limits.fault("crash"))


def fault_of_end(answer: Answer, limits: Limits) -> Fault:
    if answer.overdue:
        return limits.fault("time")
    limit = _SIGNALS.get(-answer.exit_code, "crash")
    log.warning("an inspection was ended", limit=limit, exit_code=answer.exit_code)
    return limits.fault(limit, f"end with {_named(answer.exit_code)}")


def _named(exit_code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-exit_code).name
    return f"code {exit_code}"


def _environment() -> dict[str, str]:
    """The environment of the server of inspections: nothing secret, and the packages of this process."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    source = str(Path(app.__file__).parents[1])
    return kept | _FRUGAL | {"PYTHONPATH": os.pathsep.join([source, *filter(None, sys.path)])}
