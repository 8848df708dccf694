"""A batch of predictions on one host and on two, and what it costs when one of the two dies in the middle.

    python benchmarks/bench_workers.py [--scenes 8] [--size 1024] [--width 16] [--rounds 3] [--quick]

A host is a worker of one thread with a data folder of its own; they share a PostgreSQL, a Redis and an S3 bucket, and
nothing else. Time is that from the first order to the last result, with the workers up. Here they also share the cores
of one machine, with each other and with the servers: give it a core for each host and one more.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from app.cli.running import free_port
from app.client import Client
from app.db import migrate
from app.settings import Settings
from benchmarks.child import in_child
from benchmarks.contenders import make_model
from benchmarks.side_by_side import show
from benchmarks.soak.fleet import Part
from tests import servers

QUICK_RECOVERY = {"CANEMAP_LEASE_S": "4", "CANEMAP_HEARTBEAT_S": "0.5", "CANEMAP_SWEEP_S": "0.5"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "GDAL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
PLANS = {"one host": (1, False), "two hosts": (2, False), "two hosts, one killed": (2, True)}
READY_S = 120
DEPTH = 4
_numbers = count(1)


@dataclass(frozen=True)
class Batch:
    """seconds: from the first order to the last result. again: attempts beyond the first of each job."""

    seconds: float
    again: int


@dataclass(frozen=True)
class Site:
    """A service without workers, and what a worker needs to join it."""

    client: Client
    folder: Path
    environment: Mapping[str, str]


def main() -> None:
    """Measure and print the table."""
    options = _options()
    mpx = options.scenes * options.size**2 / 1e6
    done: dict[str, list[Batch]] = {name: [] for name in PLANS}
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as site:
        scenes = upload(site, options)
        batch(site, scenes[:2], hosts=1)  # the first one measures which engine is the fastest
        for _ in range(options.rounds):
            for name, (hosts, kill) in PLANS.items():
                done[name].append(batch(site, scenes, hosts=hosts, kill=kill))
    seconds = {name: statistics.median(each.seconds for each in batches) for name, batches in done.items()}
    rows = (
        (name, seconds[name], mpx / seconds[name], seconds["one host"] / seconds[name], max(one.again for one in each))
        for name, each in done.items()
    )
    title = f"{options.scenes} scenes of {options.size} x {options.size} px, U-Net of width {options.width}"
    show(title, ("", "s", "Mpx/s", "times one host", "jobs done again"), rows)


@contextmanager
def service(folder: Path) -> Iterator[Site]:
    """An API on servers of its own."""
    with servers.postgres() as database, servers.redis_server() as broker, servers.s3_server() as store:
        urls = {
            "CANEMAP_DATABASE_URL": database.render_as_string(hide_password=False),
            "CANEMAP_BROKER_URL": f"{broker}/0",
            "CANEMAP_STORE_URL": f"s3://canemap?endpoint={store}",
        }
        environment = {**os.environ, **QUICK_RECOVERY, **ONE_THREAD, **servers.S3_KEYS, **urls}
        migrate(Settings(database_url=urls["CANEMAP_DATABASE_URL"]))
        port = free_port("127.0.0.1")
        api = machine("api", ["app.cli", "serve", "--with-parent", "--port", str(port)], folder, environment)
        api.start()
        try:
            with Client(f"http://127.0.0.1:{port}") as client:
                wait_for(lambda: answers(client))
                yield Site(client, folder, environment)
        finally:
            api.end(signal.SIGKILL)


def upload(site: Site, options: argparse.Namespace) -> list[str]:
    """The names of the scenes; and a model "net" with random weights."""
    scene = site.folder / "scene.tif"
    in_child("benchmarks.inputs", "make_scene", {"path": str(scene), "size": options.size})
    site.client.import_model("net", make_model(scene, site.folder, options.width, DEPTH))
    return [site.client.upload_scene(scene, id=f"scene-{number}")["id"] for number in range(options.scenes)]


def batch(site: Site, scenes: Sequence[str], *, hosts: int, kill: bool = False) -> Batch:
    """Map all scenes with so many hosts. kill: the first of them, when a quarter is done."""
    workers = [
        machine(f"host-{next(_numbers)}", ["worker", "--with-parent"], site.folder, site.environment)
        for _ in range(hosts)
    ]
    try:
        for worker in workers:
            worker.start()
        wait_for(lambda: all(b"worker ready" in worker.log.read_bytes() for worker in workers))
        start = time.monotonic()
        ordered = [site.client.predict(scene, model="net:1", config={"outputs": ["classes"]}) for scene in scenes]
        if kill:
            for work in ordered[: len(ordered) // 4]:
                work.wait()
            destroy(workers[0])
        for work in ordered:
            work.wait()
        seconds = time.monotonic() - start
    finally:
        for worker in workers:
            worker.end(signal.SIGKILL)
    return Batch(seconds, sum(site.client.job(work.id)["attempt"] - 1 for work in ordered))


def destroy(worker: Part) -> None:
    """As when its machine loses power: all its processes at once."""
    for pid in [worker.pid, *(pid for pid, _ in worker.descendants())]:
        os.kill(pid, signal.SIGKILL)


def machine(name: str, module: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Part:
    """A process with a data folder of its own, as if it were alone on its machine."""
    own = {"CANEMAP_DATA_DIR": str(folder / name)}
    return Part(name, [sys.executable, "-m", *module], {**environment, **own}, folder / f"{name}.log")


def wait_for(true: Callable[[], bool]) -> None:
    """Return as soon as it is true."""
    deadline = time.monotonic() + READY_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("a process did not become ready")
        time.sleep(0.1)


def answers(client: Client) -> bool:
    """Whether the API is there."""
    try:
        return bool(client.get("/healthz"))
    except httpx.TransportError:
        return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=8, help="in the batch")
    parser.add_argument("--size", type=int, default=1024, help="px a side of a scene")
    parser.add_argument("--width", type=int, default=16, help="of the U-Net")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="4 scenes of 256 px, one round")
    options = parser.parse_args()
    if options.quick:
        options.scenes, options.size, options.rounds = 4, 256, 1
    return options


if __name__ == "__main__":
    main()
