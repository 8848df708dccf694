"""The whole service as a user starts it, on the embedded stack and on PostgreSQL, Redis and S3."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from app.client import Client
from app.core.startup import PYTHON
from ml.synthetic import SyntheticScene, make_scene
from tests import servers
from tests.collector import Collector, collecting
from tests.conftest import new_store_url, redis_number

SIZE_PX = 320  # a test scene needs at least two blocks of 256 px for a confidence interval of its hectares
LONG_REDIS = 8  # the Redis databases from this number on belong to services that outlive a test
SPLITS = {"train": ["train"], "val": ["val"], "test": ["test"]}
TINY = {
    "net": {"depth": 2, "width": 8},
    "chip_size": 64,
    "batch_size": 4,
    "epochs": 3,
    "steps_per_epoch": 4,
    "optimizer": {"name": "adamw", "lr": 0.003},
}


@dataclass
class Stack:
    """A running `canemap up`."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    def children(self) -> list[int]:
        """The process ids of the API and of the workers."""
        found = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]

    def worker(self, queue: str) -> int:
        """The process id of the worker that takes jobs from `queue`."""
        for pid in self.children():
            command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if "worker" in command and any(queue in argument.split(",") for argument in command):
                return pid
        raise LookupError(queue)


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    """Receives the traces of `live`."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    """A service without other servers, shared by all tests that leave it able to work. It sends its traces."""
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with up(tmp_path_factory.mktemp("live"), **traced) as stack:
        yield stack


@pytest.fixture(scope="package")
def live_on_servers(
    postgres_server: URL, redis_server: str, s3_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A service on a PostgreSQL, a Redis and an S3 server, shared by all tests that leave it able to work."""
    with (
        on_servers(postgres_server, redis_server, s3_server) as settings,
        up(tmp_path_factory.mktemp("live"), **settings) as stack,
    ):
        yield stack


@pytest.fixture(scope="package", params=["embedded", "postgresql+redis+s3"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Each of the two shared services in turn."""
    stack: Stack = request.getfixturevalue("live" if request.param == "embedded" else "live_on_servers")
    return stack


@contextmanager
def settings_of(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of a service on the stack that `request.param` names."""
    if request.param == "embedded":
        yield {}
        return
    names = ("postgres_server", "redis_server", "s3_server")
    with on_servers(*(request.getfixturevalue(name) for name in names)) as settings:
        yield settings


@contextmanager
def on_servers(postgres: URL, redis: str, s3: str) -> Iterator[dict[str, str]]:
    """The environment of a service that has its own database and store on these servers."""
    with servers.database(postgres) as url:
        yield servers.S3_KEYS | {
            "CANEMAP_DATABASE_URL": url,
            "CANEMAP_BROKER_URL": f"{redis}/{LONG_REDIS + redis_number()}",
            "CANEMAP_STORE_URL": new_store_url(s3),
        }


@contextmanager
def up(
    folder: Path, *, within: Sequence[str | Path] = (), cwd: str | Path | None = None, **settings: str
) -> Iterator[Stack]:
    """A running `canemap up` with its data in `folder/data`.

    within: A command that runs the command after it. cwd: The current folder of the command.
    """
    quick = {"OMP_NUM_THREADS": "1", "CANEMAP_LEASE_S": "3", "CANEMAP_SWEEP_S": "0.5", "CANEMAP_LOG_FORMAT": "json"}
    quick |= {"CANEMAP_RETRY_PAUSES_S": "1", "CANEMAP_RETURN_PAUSES_S": "1"}
    environment = {**os.environ, **quick, **settings}
    options = ["--verbose", "--port", str(servers.free_port()), "--data", str(folder / "data")]
    command = [*within, *PYTHON, "-m", "app.cli", "up", *options]
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=cwd
        ) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            ready = re.search(r"http://\S+", line)
            assert ready, log.read_text()
            yield Stack(process, ready[0], folder)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """The Python client of the product, for the service of `stack`."""
    with Client(stack.url) as client:
        yield client


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SyntheticScene]:
    """Four synthetic scenes by name, with their labels."""
    folder = tmp_path_factory.mktemp("world")
    names = ["train", "val", "test", "unseen"]
    return {name: make_scene(folder, name, seed=seed, size_px=SIZE_PX) for seed, name in enumerate(names)}


@pytest.fixture(scope="package")
def dataset(stack: Stack, world: dict[str, SyntheticScene]) -> str:
    """The id of a prepared dataset on the service of `stack`."""
    with Client(stack.url) as client:
        return upload(client, world)


def upload(client: Client, world: dict[str, SyntheticScene]) -> str:
    """Upload `world` and prepare a dataset of it; returns the id of the dataset."""
    for name, scene in world.items():
        client.upload_scene(scene.image)
        if name != "unseen":
            # the land of a synthetic scene is known as a whole, and little of it is sugarcane
            client.upload_labels(scene.plots, class_field="crop", classes={"sugarcane": 1, "*": 0}, background=0)
    scenes = [name for names in SPLITS.values() for name in names]
    split = {"by": "scene", **SPLITS}
    return client.create_dataset("gx", scenes=scenes, labels=scenes, split=split).wait(timeout_s=120).id
