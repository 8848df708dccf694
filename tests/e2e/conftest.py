"""The whole service as a user starts it, on both stacks."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.client import Client
from ml.synthetic import SyntheticScene, make_scene

SIZE_PX = 320  # a test scene of two blocks of 256 px at least, or there is no interval of its hectares
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
    log: Path

    def children(self) -> list[int]:
        """The ids of its child processes."""
        found = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]

    def worker(self, queue: str) -> int:
        """The id of the process that works on a queue."""
        for pid in self.children():
            command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if "worker" in command and any(queue in part.split(",") for part in command):
                return pid
        raise LookupError(queue)


@pytest.fixture(params=["embedded", "postgresql+redis+s3"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """A service of the test's own: with nothing else, and on a PostgreSQL, a Redis and an S3 server."""
    settings = {}
    if request.param != "embedded":
        settings["CANEMAP_DATABASE_URL"] = request.getfixturevalue("postgres_url")
        settings["CANEMAP_BROKER_URL"] = request.getfixturevalue("redis_url")
        settings["CANEMAP_STORE_URL"] = request.getfixturevalue("s3_url")
    with up(tmp_path, **settings) as stack:
        yield stack


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with nothing else, for all tests that leave it as it is."""
    with up(tmp_path_factory.mktemp("live")) as stack:
        yield stack


@contextmanager
def up(folder: Path, **settings: str) -> Iterator[Stack]:
    """`canemap up` with its data in `folder/data`."""
    quick = {"OMP_NUM_THREADS": "1", "CANEMAP_LEASE_S": "3", "CANEMAP_SWEEP_S": "0.5"}
    environment = {**os.environ, **quick, **settings}
    command = [sys.executable, "-m", "app.cli", "up", "--port", "0", "--data", str(folder / "data")]
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            ready = re.search(r"http://\S+", line)
            assert ready, log.read_text()
            yield Stack(process, ready[0], log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """The product's own client."""
    with Client(stack.url) as client:
        yield client


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SyntheticScene]:
    """Four scenes with their truth."""
    folder = tmp_path_factory.mktemp("world")
    names = ["train", "val", "test", "unseen"]
    return {name: make_scene(folder, name, seed=seed, size_px=SIZE_PX) for seed, name in enumerate(names)}


def upload(client: Client, world: dict[str, SyntheticScene]) -> str:
    """Everything that a training needs; the dataset's id."""
    for name, scene in world.items():
        client.upload_scene(scene.image, acquired="2018-10-12")
        if name != "unseen":
            client.upload_labels(scene.plots, class_field="crop", classes={"sugarcane": 1, "*": 0})
    scenes = [name for part in SPLITS.values() for name in part]
    return (
        client.create_dataset("gx", scenes=scenes, labels=scenes, split={"by": "scene", **SPLITS}).wait(timeout_s=60).id
    )
