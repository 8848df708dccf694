"""A full disk: what does not fit is refused as such and leaves nothing, and what is deleted makes room again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.core import reserve, tenancy
from app.services import Services
from tests.app.api.conftest import put
from tests.disks import fill, on_a_small_disk
from tests.servers import free_port
from tests.waiting import eventually

MEGABYTES, FILES = 48, 300
NAMES = [f"s{number}" for number in range(8)]


@dataclass
class SmallDisk:
    """A service whose data folder is a small disk. data: the folder, as a path that this process can use."""

    within: list[str | Path]
    folder: Path
    process: subprocess.Popen[bytes]
    http: httpx.Client

    @property
    def data(self) -> Path:
        return Path(f"/proc/{self.process.pid}/root{self.folder}")

    def objects(self) -> set[Path]:
        """The files of the store, those of unfinished uploads too."""
        return {path.relative_to(self.data) for path in (self.data / "store").rglob("*") if path.is_file()}


def start(within: list[str | Path], folder: Path) -> tuple[subprocess.Popen[bytes], httpx.Client]:
    """Start a service with its data in `folder` and wait until it answers."""
    port = free_port()
    environment = {**os.environ, "CANEMAP_DATA_DIR": str(folder), "CANEMAP_SWEEP_S": "0.2"}
    cli = [sys.executable, "-m", "app.cli"]
    script = f'"$@" migrate >/dev/null && exec "$@" serve --port {port}'
    process = subprocess.Popen([*within, "sh", "-c", script, "sh", *cli], env=environment, stderr=subprocess.DEVNULL)
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    eventually(lambda: answers(http))
    return process, http


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A service on a small disk."""
    folder = tmp_path / "data"
    within = on_a_small_disk(folder, MEGABYTES, FILES)
    process, http = start(within, folder)
    yield SmallDisk(within, folder, process, http)
    http.close()
    process.terminate()
    process.wait()


def filled(disk: SmallDisk) -> Path:
    """Fill the disk until the service cannot write a row any more; returns the file that takes the room."""
    filler = disk.data / "filler"
    fill(filler)
    for number in range(2000):
        answer = disk.http.patch("/v1/scenes/s0", json={"sensor": f"sensor {number}"})
        if answer.status_code != 200:
            assert_no_room(answer)
            return filler
    raise AssertionError


def assert_no_room(answer: httpx.Response) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (507, "no-room"), answer.text
    (fault,) = problem["errors"]
    assert "is full" in fault["detail"] and "Delete" in fault["hint"]
    assert "sqlite" not in answer.text and "store/" not in answer.text


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    """A layer with one zone."""
    ring = [[108, 22], [108.1, 22], [108.1, 22.1], [108, 22]]
    county = {
        "type": "Feature",
        "properties": {"code": "450100"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [county]}))
    return path


def test_what_does_not_fit_is_refused_and_leaves_nothing_and_deleting_makes_room(
    disk: SmallDisk, scene: Path, zones: Path
) -> None:
    for name in NAMES:
        assert put(disk.http, f"/v1/scenes/{name}", scene).status_code == 201
    begun = disk.http.post("/v1/uploads").headers["location"]
    assert disk.http.patch(begun, content=scene.read_bytes(), headers={"Upload-Offset": "0"}).status_code in (200, 204)
    filler, before = filled(disk), disk.objects()

    assert_no_room(put(disk.http, "/v1/scenes/large", scene))
    assert_no_room(disk.http.put(f"/v1/scenes/begun?upload={begun.rpartition('/')[2]}"))
    assert_no_room(disk.http.post("/v1/scenes", files={"file": ("a.tif", scene.read_bytes())}, data={"id": "form"}))
    assert_no_room(put(disk.http, "/v1/zones/counties?code_field=code", zones))
    assert disk.objects() == before
    assert len(disk.http.get("/v1/scenes").json()["features"]) == len(NAMES), "reading goes on"

    assert reserved(disk) == reserve.BYTES
    for name in NAMES[1:]:
        assert disk.http.delete(f"/v1/scenes/{name}").status_code == 204
    assert disk.http.delete("/v1/scenes/s1").status_code == 404
    assert put(disk.http, "/v1/scenes/fits", scene).status_code == 201
    assert disk.http.put(f"/v1/scenes/begun?upload={begun.rpartition('/')[2]}").status_code == 201

    assert reserved(disk) == 0, "no room is reserved again while the disk is nearly full"
    filler.unlink()
    eventually(lambda: reserved(disk) == reserve.BYTES)


def test_a_disk_that_holds_no_further_file_counts_as_full(disk: SmallDisk, scene: Path) -> None:
    assert put(disk.http, "/v1/scenes/s0", scene).status_code == 201
    with pytest.raises(OSError, match="No space left"):
        for number in range(FILES):
            (disk.data / f"filler-{number}").touch()
    before = disk.objects()
    assert_no_room(put(disk.http, "/v1/scenes/s1", scene))
    assert_no_room(disk.http.post("/v1/uploads"))
    assert disk.objects() == before
    assert disk.http.delete("/v1/scenes/s0").status_code == 204
    for number in range(10):
        (disk.data / f"filler-{number}").unlink()
    assert put(disk.http, "/v1/scenes/s1", scene).status_code == 201


def reserved(disk: SmallDisk) -> int:
    """Bytes on the disk that are reserved for deleting."""
    file = disk.data / "canemap.db-reserve"
    return file.stat().st_blocks * 512 if file.exists() else 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_full_disk_of_postgresql_is_told_and_leaves_no_file(
    http: httpx.Client, services: Services, scene: Path
) -> None:
    assert put(http, "/v1/scenes/s1", scene).status_code == 201
    keys = list(services.store.keys(""))
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        session.execute(text(REFUSE))
        session.execute(text("CREATE TRIGGER full_disk BEFORE INSERT ON scenes EXECUTE FUNCTION refuse()"))
    assert_no_room(put(http, "/v1/scenes/s2", scene))
    assert list(services.store.keys("")) == keys
    assert http.delete("/v1/scenes/s1").status_code == 204


REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE disk_full USING MESSAGE = ''could not extend file: No space left on device''; END'
"""
