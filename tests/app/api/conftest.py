"""The API as a real server on loopback, with real files to send."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn

from app.api.http.connections import BoundedProtocol
from app.jobs import lifecycle
from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests.ml.conftest import MakeScene, make_scene
from worker.supervisor import perform

__all__ = ["make_scene"]
Perform = Callable[[str], None]
TINY = {
    "net": {"depth": 1, "width": 4},
    "chip_size": 32,
    "batch_size": 2,
    "epochs": 1,
    "review_labels": False,
    "optimizer": {"name": "adamw", "lr": 0.01},
}


SMALL = {"upload_limit_bytes": 2_000_000, "upload_idle_s": 1.0, "sweep_s": 0.2}  # limits that tests can reach


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small limits."""
    return settings.model_copy(update=SMALL)


@pytest.fixture
def http(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a server of its own."""
    with serving(settings) as client:
        yield client


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a server on these settings."""
    app = create_app(settings)
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1, http=BoundedProtocol)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


@pytest.fixture
def do(services: Services) -> Perform:
    """Does a job as a worker would, here and now."""

    def one(job_id: str) -> None:
        with services.database.read() as session:
            kind = lifecycle.get(session, job_id).kind
        perform(services, lifecycle.QUEUES[kind], threading.Event())

    return one


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    """A scene of 4 bands whose left half is bright."""
    return make_scene(pixels(seed=0), "s1.tif")


def pixels(seed: int, size: int = 64) -> np.ndarray:
    """(4, size, size) uint16; the left half is brighter by far than the noise."""
    image = np.random.default_rng(seed).integers(100, 200, (4, size, size), dtype=np.uint16)
    image[:, :, : size // 2] += 500
    return image


@pytest.fixture
def mask(make_scene: MakeScene) -> Path:
    """Its truth: the left half is class 1, the right half class 0, and the last row is unlabelled."""
    truth = np.zeros((1, 64, 64), np.uint8)
    truth[:, :, :32] = 1
    truth[:, -1] = 255
    return make_scene(truth, "truth.tif", nodata=255)


@pytest.fixture
def dataset(http: httpx.Client, make_scene: MakeScene, mask: Path, do: Perform) -> str:
    """The id of a prepared dataset: s1 to train on, s2 to choose the epoch, s3 to be scored on."""
    for name in ("s1", "s2", "s3"):
        put(http, f"/v1/scenes/{name}", make_scene(pixels(seed=ord(name[1])), f"{name}.tif"))
    put(http, "/v1/labels/truth", mask)
    return make_dataset(http, do)


def make_dataset(http: httpx.Client, do: Perform, **changes: object) -> str:
    """A version of the dataset gx; its scenes lie on the same ground: that must be allowed."""
    split = {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]}
    body = {"name": "gx", "scenes": ["s1", "s2", "s3"], "labels": ["truth"], "split": split, "leaks": "allow"}
    id_: str = http.post("/v1/datasets", json=body | changes).json()["id"]
    do(id_)
    return id_


def put(http: httpx.Client, path: str, file: Path, **parameters: str) -> httpx.Response:
    """Upload a file."""
    return http.put(path, content=file.read_bytes(), params=parameters)
