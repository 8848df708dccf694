"""Measures a batch of predictions, and one scene in parts, on one host, on two, and on two of which one is killed.

    python benchmarks/bench_workers.py [--scenes 8] [--size 1024] [--large 3072] [--parts 8] [--width 16] [--quick]

A host is a worker of one thread with its own data folder; hosts share a PostgreSQL, a Redis and an S3 bucket, and
nothing else. Time is from the first request to the last result, with the workers ready. Hosts and servers also share
the cores of one machine: it should have a core for each host and one more.
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
from functools import partial
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from app.cli.running import free_port
from app.client import Client, Unreachable
from app.core.db import migrate
from app.settings import Settings
from benchmarks.child import in_child
from benchmarks.contenders import make_model
from benchmarks.side_by_side import show
from benchmarks.soak.fleet import Part, descendants
from tests import servers

QUICK_RECOVERY = {"CANEMAP_LEASE_S": "4", "CANEMAP_HEARTBEAT_S": "0.5", "CANEMAP_SWEEP_S": "0.5"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "GDAL_NUM_THREADS": "1"}
PLANS = {"one host": (1, False), "two hosts": (2, False), "two hosts, one killed": (2, True)}
LONG_S = 1800
DEPTH = 4
_numbers = count(1)
Order = Callable[[], Sequence[str]]  # requests predictions and returns the ids of their jobs


@dataclass(frozen=True)
class Round:
    """A round. seconds: From the first request to the last result. again: Attempts at jobs after their first."""

    seconds: float
    again: int


@dataclass(frozen=True)
class Stack:
    """A service without workers, with the folder and the environment that its workers need."""

    client: Client
    folder: Path
    environment: Mapping[str, str]


def main() -> None:
    """Measure and print the tables."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as stack:
        scenes = upload(stack, "scene", options.size, options.scenes)
        (large,) = upload(stack, "large", options.large, 1)
        stack.client.import_model("net", make_model(stack.folder / "scene.tif", stack.folder, options.width, DEPTH))
        timed(stack, partial(order, stack, scenes[:2], 1), hosts=1)  # the first prediction may compile convolutions
        net = f"U-Net of width {options.width}"
        title = f"{options.scenes} scenes of {options.size} x {options.size} px, {net}"
        compare(stack, title, partial(order, stack, scenes, 1), options.scenes * options.size**2, options.rounds)
        title = f"One scene of {options.large} x {options.large} px in {options.parts} parts, {net}"
        compare(stack, title, partial(order, stack, [large], options.parts), options.large**2, options.rounds)


def compare(stack: Stack, title: str, request: Order, pixels: int, rounds: int) -> None:
    """Do the same work with each plan in turn, and print a table."""
    done: dict[str, list[Round]] = {name: [] for name in PLANS}
    for _ in range(rounds):
        for name, (hosts, kill) in PLANS.items():
            done[name].append(timed(stack, request, hosts=hosts, kill=kill))
    seconds = {name: statistics.median(each.seconds for each in runs) for name, runs in done.items()}
    rows = (
        (
            name,
            seconds[name],
            pixels / 1e6 / seconds[name],
            seconds["one host"] / seconds[name],
            max(one.again for one in runs),
        )
        for name, runs in done.items()
    )
    show(title, ("", "s", "Mpx/s", "times one host", "jobs done again"), rows)


@contextmanager
def service(folder: Path) -> Iterator[Stack]:
    """An API with PostgreSQL, Redis and an S3 store that run for the length of the block."""
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
                yield Stack(client, folder, environment)
        finally:
            api.end(signal.SIGKILL)


def upload(stack: Stack, name: str, size: int, count: int) -> list[str]:
    """Upload `count` scenes with the same pixels; their ids."""
    scene = stack.folder / f"{name}.tif"
    in_child("benchmarks.inputs", "make_scene", {"path": str(scene), "size": size})
    return [stack.client.upload_scene(scene, id=f"{name}-{number}")["id"] for number in range(count)]


def order(stack: Stack, scenes: Sequence[str], parts: int) -> list[str]:
    """Request a prediction of each scene; the ids of the jobs, in the order in which they are claimed."""
    config = {"outputs": ["classes"]}
    made = [stack.client.predict(scene, model="net:1", config=config, parts=parts).id for scene in scenes]
    of = [job["jobID"] for job in stack.client.jobs(processID="part") if job["parent"] in made]
    return [*reversed(of), *made]


def timed(stack: Stack, request: Order, *, hosts: int, kill: bool = False) -> Round:
    """Do the work with `hosts` hosts. kill: Kill the first host when a quarter of the jobs has ended."""
    workers = [
        machine(f"host-{next(_numbers)}", ["worker", "--with-parent"], stack.folder, stack.environment)
        for _ in range(hosts)
    ]
    try:
        for worker in workers:
            worker.start()
        wait_for(lambda: all(b"worker ready" in worker.log.read_bytes() for worker in workers))
        start = time.monotonic()
        jobs = request()
        if kill:
            wait_for(lambda: all(ended(stack, job) for job in jobs[: len(jobs) // 4]))
            destroy(workers[0])
        wait_for(lambda: all(ended(stack, job) for job in jobs))
        seconds = time.monotonic() - start
    finally:
        for worker in workers:
            worker.end(signal.SIGKILL)
    return Round(seconds, sum(stack.client.job(job)["attempt"] - 1 for job in jobs))


def ended(stack: Stack, job: str) -> bool:
    """Whether a job has succeeded; RuntimeError if it has failed or was dismissed."""
    status = stack.client.job(job)["status"]
    if status in ("failed", "dismissed"):
        raise RuntimeError(f"job {job} is {status}: {stack.client.log(job)}")
    return bool(status == "successful")


def destroy(worker: Part) -> None:
    """Kill all processes of a worker at once, as when its machine loses power."""
    for pid in [worker.pid, *(pid for pid, _ in descendants(worker.pid))]:
        os.kill(pid, signal.SIGKILL)


def machine(name: str, module: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Part:
    """A process with its own data folder, as if it were alone on its machine."""
    own = {"CANEMAP_DATA_DIR": str(folder / name)}
    return Part(name, [sys.executable, "-m", *module], {**environment, **own}, folder / f"{name}.log")


def wait_for(true: Callable[[], bool]) -> None:
    """Return as soon as `true()` holds; TimeoutError after half an hour."""
    deadline = time.monotonic() + LONG_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("a process did not become ready, or a job did not end")
        time.sleep(0.1)


def answers(client: Client) -> bool:
    """Whether the API answers."""
    try:
        return bool(client.get("/healthz"))
    except Unreachable:
        return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=8, help="number of scenes in the batch")
    parser.add_argument("--size", type=int, default=1024, help="side of a scene in pixels")
    parser.add_argument("--large", type=int, default=3072, help="side of the scene that is mapped in parts, in pixels")
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--width", type=int, default=16, help="channels of the U-Net's first level")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="4 scenes of 256 px, one of 512, one round")
    options = parser.parse_args()
    if options.quick:
        options.scenes, options.size, options.large, options.rounds = 4, 256, 512, 1
    return options


if __name__ == "__main__":
    main()
