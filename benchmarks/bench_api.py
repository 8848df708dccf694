"""Measures a running service: the status of a job with 10,000 queued, an upload of 2 GB, and 8 uploads of 1 GB.

    python benchmarks/bench_api.py [--quick] [--folder FOLDER]

The script starts a service without workers on loopback, first with SQLite, then with a PostgreSQL that it also starts.
The upload takes turns with a plain copy that ends in an fsync; both write to the same disk. `--folder` names a folder
on the disk to measure; by default it is a temporary one.
"""

import argparse
import hashlib
import itertools
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from http.client import HTTPConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import numpy as np
import rasterio

from app.core.db import Database, migrate
from app.core.startup import configure_logs
from app.jobs import lifecycle
from app.settings import Settings
from benchmarks.percentiles import p99
from benchmarks.side_by_side import medians, show
from tests import servers

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = ((1, 0.0), (8, 0.0), (200, 1.0))  # how many, and how many seconds each waits between two requests
CHUNK_BYTES = 4 * 1024**2
START_S = 60.0


def main() -> None:
    """Measure the status on both databases, then the uploads, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer requests, 200 MB")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure")
    arguments = parser.parse_args()
    queued, seconds, megabytes, rounds = (500, 2.0, 200, 2) if arguments.quick else (10_000, 8.0, 2000, 3)
    rows = []
    for name, database in (("SQLite", nullcontext("")), ("PostgreSQL", postgres())):
        with tempfile.TemporaryDirectory() as folder, database as url, service(Path(folder), url, queued) as (base, _):
            rows += [(name, *clients, *time_status(base, clients, queued, seconds)) for clients in CLIENTS]
    columns = ("database", "clients", "pause s", "requests/s", "p50 ms", "p99 ms")
    show(f"GET /v1/jobs/ID, {queued} queued, keep-alive", columns, rows)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        time_upload(Path(folder), megabytes, rounds)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        time_uploads_at_once(Path(folder), megabytes // 2)


@contextmanager
def postgres() -> Iterator[str]:
    """URL of a new database on a PostgreSQL server that runs for the length of the block."""
    with servers.postgres() as server, servers.database(server) as url:
        yield url


@contextmanager
def service(data: Path, database: str, queued: int = 0) -> Iterator[tuple[str, int]]:
    """Run the API alone, with `queued` waiting jobs. Yields the URL of the API and its process id."""
    settings = Settings(data_dir=data, database_url=database, log_level="warning")
    configure_logs(settings)
    migrate(settings)
    queue(settings.database, queued)
    port = servers.free_port()
    environment = {"CANEMAP_DATA_DIR": str(data), "CANEMAP_DATABASE_URL": database, "CANEMAP_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(command, env=os.environ | environment | {"PYTHONPATH": path})
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def queue(url: str, count: int) -> None:
    """Create `count` accepted trainings in the database `url`; no worker claims them."""
    database = Database(url)
    with database.write() as session:
        for number in range(count):
            lifecycle.create(session, f"trn_{number:06}", "training")
    database.close()


def wait_for(base: str) -> None:
    """Return as soon as the service at `base` answers; after 60 s raise the last error."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            httpx.get(f"{base}/healthz")
            return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def time_status(base: str, clients: tuple[int, float], queued: int, seconds: float) -> tuple[float, float, float]:
    """Requests a second, and the median and 99th percentile of their times in milliseconds."""
    taken = ask_status(base, clients, queued, seconds)
    return len(taken) / seconds, 1e3 * statistics.median(taken), 1e3 * p99(taken)


def ask_status(base: str, clients: tuple[int, float], queued: int, seconds: float) -> list[float]:
    """Seconds of each request, from clients that keep their connections open.

    clients: How many clients, and seconds that each waits between two requests.
    """
    count, pause_s = clients
    taken: list[float] = []
    end = time.perf_counter() + seconds

    def poll(first: int) -> None:
        connection = HTTPConnection(base.removeprefix("http://"))
        time.sleep(pause_s * first / count)  # the clients do not all start in the same moment
        for number in itertools.count(first * queued // count):
            start = time.perf_counter()
            if start > end:
                break
            connection.request("GET", f"/v1/jobs/trn_{number % queued:06}")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(answer.reason)
            taken.append(time.perf_counter() - start)
            time.sleep(pause_s)
        connection.close()

    threads = [threading.Thread(target=poll, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def time_upload(folder: Path, megabytes: int, rounds: int) -> None:
    """Time a PUT of a scene in turns with copies of it, and measure the memory of the service."""
    scene, copied = make_scene(folder / "scene.tif", megabytes), folder / "copy.tif"
    with service(folder / "data", "") as (base, process):
        before = peak_mb(process)
        contenders: dict[str, Callable[[], None]] = {
            "copy + fsync": lambda: copy(scene, copied),
            "copy + sha256 + fsync": lambda: copy(scene, copied, hashlib.sha256()),
            "PUT": lambda: put(scene, f"{base}/v1/scenes/scene"),
        }
        found = medians(contenders, rounds=rounds)
        peak = peak_mb(process)
    size_mb, disk_s = scene.stat().st_size / 1e6, found["copy + fsync"]
    rows = [(name, seconds, size_mb / seconds, disk_s / seconds) for name, seconds in found.items()]
    show(f"A scene of {size_mb:.0f} MB", ("what", "s", "MB/s", "of the disk"), rows)
    show("Peak memory of the service", ("when", "MB"), [("before", before), ("after the uploads", peak)])


def time_uploads_at_once(folder: Path, megabytes: int, count: int = 8) -> None:
    """Time `count` uploads at once and the status of a job meanwhile, and measure the memory of the service."""
    scene = make_scene(folder / "scene.tif", megabytes)
    with service(folder / "data", "", queued=1000) as (base, process), ThreadPoolExecutor(count) as pool:
        before, start = peak_mb(process), time.perf_counter()
        sent = [pool.submit(put, scene, f"{base}/v1/scenes/scene{number}") for number in range(count)]
        taken: list[float] = []
        while not all(each.done() for each in sent):
            taken += ask_status(base, (1, 0.1), 1000, 1.0)
        for each in sent:
            each.result()
        seconds, size_mb = time.perf_counter() - start, count * scene.stat().st_size / 1e6
        peak = peak_mb(process)
    columns = ("s", "MB/s", "status meanwhile, p50 ms", "p99 ms", "service's MB before", "at most")
    row = (seconds, size_mb / seconds, 1e3 * statistics.median(taken), 1e3 * p99(taken), before, peak)
    show(f"{count} scenes of {size_mb / count:.0f} MB at once", columns, [row])


def put(scene: Path, url: str) -> None:
    """Upload a scene and then delete it."""
    if curl := shutil.which("curl"):
        subprocess.run([curl, "--silent", "--show-error", "--fail", "-o", os.devnull, "-T", scene, url], check=True)
    else:
        with scene.open("rb") as file:
            httpx.put(url, content=file, timeout=600).raise_for_status()
    httpx.delete(url).raise_for_status()


def copy(source: Path, target: Path, digest: "hashlib._Hash | None" = None) -> None:
    """Copy the bytes of `source`, wait until they are on the disk, and delete the copy: the speed of the disk."""
    with source.open("rb") as read, target.open("wb") as write:
        while chunk := read.read(CHUNK_BYTES):
            if digest:
                digest.update(chunk)
            write.write(chunk)
        write.flush()
        os.fsync(write.fileno())
    target.unlink()


def make_scene(path: Path, megabytes: int) -> Path:
    """Write an uncompressed GeoTIFF of noise with 4 bands of uint16; its path."""
    side = round((megabytes * 1e6 / 8) ** 0.5)
    block = np.random.default_rng(0).integers(100, 4000, (4, 256, side), dtype=np.uint16)
    transform = rasterio.transform.from_origin(640_000, 2_550_000, 0.8, 0.8)
    profile = {"driver": "GTiff", "count": 4, "width": side, "height": side, "dtype": "uint16", "BIGTIFF": "YES"}
    with rasterio.open(path, "w", crs="EPSG:32648", transform=transform, **profile) as file:
        for row in range(0, side, 256):
            rows = min(256, side - row)
            file.write(block[:, :rows], window=rasterio.windows.Window(0, row, side, rows))
    return path


def peak_mb(process: int) -> float:
    """Largest resident set of a process so far, in 10^6 bytes; nan on a system without /proc."""
    if not Path("/proc").is_dir():
        return math.nan
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
