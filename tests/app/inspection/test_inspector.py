"""Files are read in child processes that have limits, no secrets, and nothing but the one file."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial, reduce
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from app.core.errors import Busy
from app.inspection import inspector as inspection
from app.inspection.inspector import SERVER, ForkServer, Inspector
from app.inspection.limits import Limits
from app.inspection.server import ENDED
from app.inspection.tasks import DrawnPicture, DrawScene
from ml.faults import InputRefused
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport, inspect_labels
from ml.products.scene_picture import Style, tile_place
from ml.scenes.inspect import SceneInfo, inspect_scene
from tests.ml.conftest import MakeScene, make_scene
from tests.waiting import eventually

__all__ = ["make_scene"]
LIMITS = Limits(memory_bytes=3 << 29, core_s=30)
GRID = {"crs": "EPSG:32648", "transform": Affine(1, 0, 500_000, 0, -1, 2_500_000)}
SQUARE = ((105.0, 23.0), (105.1, 23.0), (105.1, 23.1), (105.0, 23.0))


@pytest.fixture
def inspector() -> Inspector:
    """An inspector with the limits of the settings' defaults."""
    return Inspector(LIMITS, wait_s=15)


@pytest.fixture
def server() -> Iterator[ForkServer]:
    """A server of children that no other test uses."""
    server = ForkServer()
    server.start()
    yield server
    server.stop()


def layer(path: Path, *coordinates: object) -> Path:
    """A GeoJSON file with a polygon for each list of rings."""
    features = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}} for rings in coordinates]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def pid_of(server: ForkServer) -> int:
    assert server.process is not None
    return server.process.pid


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def busy_child_of(pid: int) -> int:
    """The child that was given work; the other one waits for it."""
    eventually(lambda: len(children_of(pid)) == 2)
    return children_of(pid)[0]


def opened(pid: int) -> list[str]:
    """What the open files of a process are."""
    return [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]


def has_left_the_server(child: int) -> bool:
    """Whether the connection to whoever asks is the only socket of a child."""
    return sum(name.startswith("socket:") for name in opened(child)) == 1


def test_a_scene_and_labels_are_described_as_in_this_process(
    inspector: Inspector, make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(np.arange(4096, dtype=np.uint16).reshape(1, 64, 64), "s.tif")
    assert inspector.scene(scene, bands=("nir",), nodata=7) == inspect_scene(scene, bands=("nir",), nodata=7)
    labels = layer(tmp_path / "labels.geojson", [SQUARE])
    assert inspector.labels(labels, LabelOptions()) == inspect_labels(labels)


def test_the_faults_of_a_file_are_those_that_are_found_in_this_process(inspector: Inspector, tmp_path: Path) -> None:
    path = layer(tmp_path / "labels.geojson", [], [[[1, 2]]])
    with pytest.raises(InputRefused) as here:
        inspect_labels(path)
    with pytest.raises(InputRefused) as there:
        inspector.labels(path, LabelOptions())
    assert there.value.faults == here.value.faults


def test_a_file_that_needs_too_much_memory_is_refused_by_that_limit(tmp_path: Path) -> None:
    path, side = tmp_path / "scene.tif", 4096
    options = {"tiled": True, "blockxsize": side, "blockysize": side, "compress": "deflate"}
    with rasterio.open(path, "w", "GTiff", side, side, 1, dtype="float64", **GRID, **options) as file:
        file.write(np.ones((1, side, side)))
    with pytest.raises(InputRefused, match="takes over 64 MiB of memory") as refused:
        Inspector(Limits(memory_bytes=64 << 20, core_s=30), 15).scene(path, bands=None, nodata=None)
    assert [fault.code for fault in refused.value.faults] == ["inspection_limit"]
    assert "CANEMAP_INSPECTION_MEMORY_BYTES" in refused.value.faults[0].hint


def test_a_file_that_needs_too_long_is_refused_by_that_limit(tmp_path: Path) -> None:
    side, path = 16_384, tmp_path / "mask.tif"
    options = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "compress": "deflate"}
    with rasterio.open(path, "w", "GTiff", side, side, 1, dtype="uint8", **GRID, **options) as file:
        for row in range(0, side, 4096):
            file.write(np.ones((1, 4096, side), np.uint8), window=Window(0, row, side, 4096))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(InputRefused, match="takes over 1 s of computing"):
        Inspector(Limits(memory_bytes=3 << 29, core_s=1), 15).labels(path, LabelOptions())


def test_a_child_that_takes_too_long_is_killed(server: ForkServer) -> None:
    connection, report = server.fork(seconds=0.2)  # it waits for an order that never comes
    with connection, FileIO(report) as end:
        exit_code, overdue = ENDED.unpack(end.read(ENDED.size))
    assert (exit_code, overdue) == (-signal.SIGKILL, True)


def test_a_crash_is_a_fault_of_the_file_that_names_the_signal(server: ForkServer) -> None:
    connection, report = server.fork(seconds=20)
    os.kill(busy_child_of(pid_of(server)), signal.SIGSEGV)
    with connection, FileIO(report) as end:
        exit_code, overdue = ENDED.unpack(end.read(ENDED.size))
    answer = inspection.Answer("", b"", exit_code, overdue)
    fault = inspection.fault_of_end(answer, LIMITS)
    assert (fault.code, fault.detail) == ("inspection_limit", "Reading the file makes the reader end with SIGSEGV.")


def test_children_and_their_server_end_with_the_process_that_asked(server: ForkServer) -> None:
    connection, report = server.fork(seconds=60)
    child = busy_child_of(pid_of(server))
    server.stop()
    connection.close()
    os.close(report)
    eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())


def test_a_server_that_was_killed_is_started_again(inspector: Inspector, tmp_path: Path) -> None:
    labels = layer(tmp_path / "labels.geojson", [SQUARE])
    expected = inspector.labels(labels, LabelOptions())
    os.kill(pid_of(SERVER), signal.SIGKILL)
    assert inspector.labels(labels, LabelOptions()) == expected


def test_a_server_that_hangs_is_killed_and_started_again(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = layer(tmp_path / "labels.geojson", [SQUARE])
    expected = inspector.labels(labels, LabelOptions())
    os.kill(hanging := pid_of(SERVER), signal.SIGSTOP)
    monkeypatch.setattr("app.inspection.limits.GRACE_S", 0.2)
    monkeypatch.setattr("app.inspection.inspector._SLACK_S", 0.3)
    with suppress(Busy, InputRefused):  # a new server may need longer than this to start, or its child
        Inspector(Limits(memory_bytes=1 << 30, core_s=1), wait_s=15).labels(labels, LabelOptions())
    assert not Path(f"/proc/{hanging}").exists()
    monkeypatch.undo()
    assert inspector.labels(labels, LabelOptions()) == expected


def test_a_process_that_a_child_leaves_behind_is_killed() -> None:
    script = """
import os, socket, subprocess
from app.inspection.limits import CHILD_SUBREAPER, prctl
from app.inspection.server import Server
prctl(CHILD_SUBREAPER, 1)
left = subprocess.run(["sh", "-c", "setsid sleep 60 >&2 & echo $!"], stdout=subprocess.PIPE, text=True)
Server(socket.socket())._kill_strays()
print(os.waitstatus_to_exitcode(os.waitpid(int(left.stdout), 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=50)
    assert int(done.stdout) == -signal.SIGKILL


def test_no_secret_is_in_the_environment_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-1")
    monkeypatch.setenv("CANEMAP_DATABASE_URL", "postgresql://user:secret-2@host/canemap")
    server = ForkServer()
    server.start()
    with server.fork(seconds=0.01)[0] as connection:  # so that it has started
        connection.recv(1)
    environment = Path(f"/proc/{pid_of(server)}/environ").read_bytes()
    server.stop()
    assert b"PYTHONPATH" in environment
    assert b"secret" not in environment


def test_a_child_has_no_open_file_of_another(server: ForkServer, tmp_path: Path) -> None:
    with (tmp_path / "database").open("wb") as held:
        os.set_inheritable(held.fileno(), True)
        first, second = server.fork(seconds=60), server.fork(seconds=60)
        eventually(lambda: len(children_of(pid_of(server))) == 3)
        for child in children_of(pid_of(server)):
            eventually(partial(has_left_the_server, child))
            assert not any(name.startswith("pipe:") or name.endswith("/database") for name in opened(child))
    for connection, report in (first, second):
        connection.close()
        os.close(report)


def test_a_request_waits_for_a_place_and_is_then_sent_away(tmp_path: Path) -> None:
    inspector = Inspector(LIMITS, wait_s=0.05)
    while inspector.places.acquire(blocking=False):
        pass
    labels = layer(tmp_path / "labels.geojson", [SQUARE])
    with pytest.raises(Busy, match="at this moment"):
        inspector.labels(labels, LabelOptions())
    inspector.places.release()
    assert inspector.labels(labels, LabelOptions()).features == 1


@pytest.mark.parametrize(
    "answer", [b"result\n{}", b"faults\n[1]", b"faults\n[]", b"result\n" + b" " * (9 << 20), b"", b"error\nbug"]
)
def test_an_answer_that_no_honest_child_gives_is_a_fault_of_the_file(answer: bytes) -> None:
    kind, _, text = answer.partition(b"\n")
    with pytest.raises(InputRefused, match="Reading the file"):
        inspection.read(inspection.Answer(kind.decode(), text, 0, False), SceneInfo, LIMITS)


def planted(answer: dict[str, Any], place: str, value: object) -> bytes:
    """The JSON of an answer with another value at a place like bands/0/name."""
    changed = json.loads(json.dumps(answer))
    *parents, last = place.split("/")
    inside = reduce(lambda found, key: found[int(key) if key.isdecimal() else key], parents, changed)
    inside[last] = value
    return json.dumps(changed).encode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(("rows", value) for value in (-1, 0, 1 << 40, 1.5, "x")),
        *(("cols", -1), ("size_bytes", -1), ("gsd", 0), ("gsd", math.inf), ("gsd", -1), ("nodata", math.nan)),
        *(("bbox", [0, 0, 1000, 1]), ("bbox", [0, 0, math.nan, 1]), ("bbox", [0, 0, 1])),
        *(("transform", [math.inf, 0, 0, 0, -1, 0]), ("bounds", [0, 0, 1, math.inf])),
        *(("dtype", "x" * 2000), ("crs_code", "x" * 2000), ("bands/0/name", "x" * 2000)),
        *(("footprint", {"type": "Point", "coordinates": [0, 0]}), ("footprint/coordinates", [[[math.nan, 0]]])),
        *(("footprint/coordinates", [[[0, 0]] * 20_000]), ("footprint/coordinates", "x"), ("footprint/more", 1)),
        *(("bands", [{}]), ("warnings", [{"code": "x", "detail": "x", "hint": ""}] * 2000)),
        *(("bands/0/statistics/mean", math.nan), ("more", 1)),
    ],
)
def test_an_absurd_value_of_a_scene_is_not_taken_from_a_child(make_scene: MakeScene, place: str, value: object) -> None:
    honest = inspect_scene(make_scene(np.arange(4096, dtype=np.uint16).reshape(1, 64, 64))).model_dump(mode="json")
    answer = partial(inspection.Answer, "result", exit_code=0, overdue=False)
    assert inspection.read(answer(json.dumps(honest).encode()), SceneInfo, LIMITS).rows == honest["rows"]
    with pytest.raises(InputRefused, match="Reading the file"):
        inspection.read(answer(planted(honest, place, value)), SceneInfo, LIMITS)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(("features", -1), ("features", 1 << 60), ("crs", "x" * 2000), ("bbox", [0, -100, 0, 0]), ("unlabelled", -1)),
        *(("by_class/0/value", 256), ("by_class/0/area_ha", math.inf), ("by_class/0/area_ha", -5)),
        *(("by_class/0/area_ha", 1e12), ("by_class/0/features", -1), ("other_texts_left", -1), ("kind", "x")),
    ],
)
def test_an_absurd_value_of_labels_is_not_taken_from_a_child(tmp_path: Path, place: str, value: object) -> None:
    honest = inspect_labels(layer(tmp_path / "x", [SQUARE])).model_dump(mode="json")
    answer = partial(inspection.Answer, "result", exit_code=0, overdue=False)
    assert inspection.read(answer(json.dumps(honest).encode()), LabelReport, LIMITS).features == 1
    with pytest.raises(InputRefused, match="Reading the file"):
        inspection.read(answer(planted(honest, place, value)), LabelReport, LIMITS)


def test_a_child_cannot_tell_faults_without_end() -> None:
    faults = json.dumps([{"code": "x", "detail": "x", "hint": "x"}] * 21).encode()
    with pytest.raises(InputRefused, match="Reading the file"):
        inspection.read(inspection.Answer("faults", faults, 0, False), SceneInfo, LIMITS)


def test_a_full_disk_is_no_fault_of_the_file() -> None:
    with pytest.raises(OSError, match="No space left"):
        inspection.read(inspection.Answer("limit", b"room", 0, False), SceneInfo, LIMITS)


def test_a_spare_child_that_was_killed_is_replaced(server: ForkServer) -> None:
    eventually(lambda: children_of(pid_of(server)) != [])
    spare = children_of(pid_of(server))[0]
    os.kill(spare, signal.SIGKILL)
    eventually(lambda: spare not in children_of(pid_of(server)))
    connection, report = server.fork(seconds=0.2)
    with connection, FileIO(report) as end:
        assert ENDED.unpack(end.read(ENDED.size)) == (-signal.SIGKILL, True)


def test_pictures_wait_for_each_other_and_keep_no_upload_waiting(make_scene: MakeScene) -> None:
    path, inspector = make_scene(np.arange(4096, dtype=np.uint16).reshape(1, 64, 64)), Inspector(LIMITS, wait_s=0.05)
    task = DrawScene(
        path=path,
        nodata=None,
        names=("1",),
        extremes=((0, 4095),),
        style=Style(bands=(0,)),
        place=tile_place(0, 0, 0),
    )
    assert inspector.picture(task).png.startswith(b"\x89PNG")
    while inspector.pictures.acquire(blocking=False):
        pass
    with pytest.raises(Busy, match="Too many files"):
        inspector.picture(task)
    assert inspector.scene(path, bands=None, nodata=None).rows == 64


def test_an_answer_that_is_no_picture_is_not_passed_on(inspector: Inspector) -> None:
    for png in ("PGh0bWw-", "", "not base64"):
        answer = inspection.Answer("result", json.dumps({"png": png, "ranges": None}).encode(), 0, overdue=False)
        with pytest.raises(InputRefused, match="crash"):
            inspection.read(answer, DrawnPicture, LIMITS)
