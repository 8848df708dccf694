"""Small files that once ended the API, stopped it or filled its memory: each is refused, and the same API goes on."""

import json
import os
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from tests import servers
from tests.ml.labels.layers import geopackage, square, zipped_shapefile
from tests.ml.scenes.test_sample import sparse_scene
from tests.waiting import eventually, slowdown

SECONDS, BYTES = 5.0, 300e6  # that a bomb may take: until its answer, and of the memory of the API
TRIES = 4  # of which the fastest counts, because other processes may use the machine
GRID = {"crs": "EPSG:32648", "transform": Affine(1, 0, 500_000, 0, -1, 2_500_000)}


@dataclass
class Api:
    """A running `canemap serve`."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    def peak_bytes(self) -> int:
        """Largest resident set of the process so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def send(self, path: str, bomb: Path, **parameters: str) -> tuple[httpx.Response, float]:
        """Upload a file; returns the answer and how many seconds it took."""
        start = time.perf_counter()
        answer = self.http.put(path, content=bomb.read_bytes(), params=parameters)
        return answer, time.perf_counter() - start


@contextmanager
def serving(folder: Path, database: str, **settings: str) -> Iterator[Api]:
    port, names = servers.free_port(), {f"CANEMAP_{name.upper()}": value for name, value in settings.items()}
    variables = {"CANEMAP_DATA_DIR": str(folder), "CANEMAP_DATABASE_URL": database, **names}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    with (
        subprocess.Popen(command, env=os.environ | variables) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        try:
            eventually(lambda: http.get("/healthz").status_code == 200)
            yield Api(process, http)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def api(migrated_sqlite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API that gives each file one second of computing."""
    folder = tmp_path_factory.mktemp("bombs")
    with servers.copy_of(migrated_sqlite, folder) as database, serving(folder, database, inspection_s="1") as api:
        warm = geopackage(folder / "plots.gpkg", [(square(0, 0), {"crop": "1"})])
        assert api.send("/v1/labels/warm", warm)[0].status_code == 201  # the fork server has imported everything
        yield api


def nested_collections(path: Path) -> Path:
    """A GeoPackage whose geometry is a collection in a collection, 60,000 deep."""
    deep = b"GP\0\1" + struct.pack("<i", 32648) + struct.pack("<BII", 1, 7, 1) * 60_000 + struct.pack("<BII", 1, 7, 0)
    geopackage(path, [(square(0, 0), {"crop": "1"})])
    with closing(sqlite3.connect(path)) as connection, connection:
        _without_triggers(connection)
        connection.execute("UPDATE plots SET SHAPE = ?", (deep,))
    return path


def generated_columns(path: Path) -> Path:
    """A GeoPackage of a few bytes a row, in which each row has columns of 60 MB that SQLite makes up."""
    geopackage(path, [(square(0, 0), {"crop": "1"})])
    with closing(sqlite3.connect(path)) as connection, connection:
        _without_triggers(connection)
        for number in range(40):
            connection.execute(f"ALTER TABLE plots ADD COLUMN g{number} TEXT AS (hex(zeroblob(30000000))) VIRTUAL")
    return path


def _without_triggers(connection: sqlite3.Connection) -> None:
    """Drop the triggers of the spatial index, which call functions that only other programs have."""
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')


def long_encoding(path: Path) -> Path:
    """A zipped Shapefile whose .cpg has 200,000 digits."""
    return zipped_shapefile(path, [(square(0, 0), {"crop": "1"})], cpg="1" * 200_000 + "x")


def empty_lists(path: Path) -> Path:
    """64 MB of JSON in which every three bytes become a list."""
    path.write_text(f"[{'[],' * 21_000_000}[]]")
    return path


def crossing_polygons(path: Path) -> Path:
    """9 MB of polygons of which every edge crosses many others."""
    random = np.random.default_rng(0)
    rings = [random.uniform((105, 23), (105.01, 23.01), (1000, 2)) for _ in range(220)]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}}
        for ring in rings
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def large_mask(path: Path) -> Path:
    """A mask of 0.6 Gpx in less than a megabyte."""
    side = 24_576
    options = {"tiled": True, "blockxsize": 8192, "blockysize": 8192, "compress": "deflate"}
    with rasterio.open(path, "w", "GTiff", side, side, 1, dtype="uint8", **GRID, **options) as file:
        for row in range(0, side, 8192):
            file.write(np.ones((1, 8192, side), np.uint8), window=Window(0, row, side, 8192))
    assert path.stat().st_size < 1_000_000
    return path


def sparse_bands(path: Path) -> Path:
    """A scene that declares 8.6 GB of pixels and holds none of them."""
    return sparse_scene(path, side=2048, bands=256)


BOMBS: dict[Callable[[Path], Path], str] = {
    nested_collections: "labels",
    generated_columns: "labels",
    long_encoding: "labels",
    empty_lists: "labels",
    crossing_polygons: "labels",
    large_mask: "labels",
    sparse_bands: "scenes",
}
"""What each is sent as."""


@pytest.mark.parametrize("make", BOMBS, ids=lambda make: make.__name__)
def test_a_bomb_is_refused_quickly_by_the_same_process(api: Api, make: Callable[[Path], Path], tmp_path: Path) -> None:
    bomb, before, fastest = make(tmp_path / "bomb"), api.peak_bytes(), float("inf")
    for _ in range(TRIES):
        answer, seconds = api.send(f"/v1/{BOMBS[make]}/{make.__name__}", bomb)
        assert answer.status_code in (413, 422), answer.text
        assert answer.json()["errors"][0]["hint"]
        fastest = min(fastest, seconds / slowdown())
        if fastest < SECONDS:
            break
    assert fastest < SECONDS
    assert api.peak_bytes() - before < BYTES
    assert api.process.poll() is None
    assert api.http.get("/healthz").status_code == 200


def test_the_service_is_responsive_while_bombs_are_open(api: Api, tmp_path: Path) -> None:
    bombs = [large_mask(tmp_path / "mask"), crossing_polygons(tmp_path / "crossing")]
    with ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(api.send, f"/v1/labels/bomb{number}", bombs[number % 2]) for number in range(6)]
        asked, bound = 0, SECONDS * slowdown()
        while not all(each.done() for each in sent):
            assert api.http.get("/healthz", timeout=bound).status_code == 200
            asked += 1
            time.sleep(0.05)
    assert asked > 3
    assert {each.result()[0].status_code for each in sent} <= {422, 503}


def test_the_default_limits_stop_what_fills_the_memory(migrated_sqlite: str, tmp_path: Path) -> None:
    with servers.copy_of(migrated_sqlite, tmp_path) as database, serving(tmp_path / "data", database) as api:
        before = api.peak_bytes()
        answer, _ = api.send("/v1/labels/bomb", empty_lists(tmp_path / "bomb.geojson"))
        assert answer.status_code in (413, 422)
        plots = geopackage(tmp_path / "plots.gpkg", [(square(0, 0), {"crop": "1"})])
        assert api.send("/v1/labels/plots", plots)[0].status_code == 201
        assert api.peak_bytes() - before < BYTES
