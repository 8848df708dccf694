"""The API as a real server on loopback, with real files to send."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn

from app.api.http.connections import BoundedProtocol
from app.jobs import lifecycle
from app.jobs.kinds import KINDS
from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests import servers
from tests.ml.conftest import MakeScene, make_scene, write_scene
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
DATASET = "gx:1"
TRUTH = np.zeros((1, 64, 64), np.uint8)  # of `pixels`: the left half is class 1, and the last row is unlabelled
TRUTH[:, :, :32], TRUTH[:, -1] = 1, 255


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
    return partial(do_as_worker, services)


def do_as_worker(services: Services, job_id: str) -> None:
    """See a job through."""
    with services.database.read() as session:
        kind = lifecycle.get(session, job_id).kind
    perform(services, KINDS[kind].queue, threading.Event())


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
    """The truth of `scene`."""
    return make_scene(TRUTH, "truth.tif", nodata=255)


@contextmanager
def copied(settings: Settings, folder: Path) -> Iterator[Settings]:
    """Settings of a service that has what a closed one has, in copies of its own."""
    data = folder / "data"
    if settings.data_dir.exists():
        shutil.copytree(settings.data_dir, data)
    with servers.copy_of(settings.database, folder) as url:
        yield settings.model_copy(update={"data_dir": data, "database_url": url})


@contextmanager
def grown(settings: Settings, folder: Path, grow: Callable[[httpx.Client, Perform, Path], None]) -> Iterator[Settings]:
    """As `copied`, and closed again after it has `grown`; made once, for tests to copy."""
    with copied(settings, folder) as grown:
        services = Services.open(grown)
        with serving(grown) as http:
            grow(http, partial(do_as_worker, services), folder)
        services.close()
        yield grown


def grow_dataset(http: httpx.Client, do: Perform, folder: Path) -> None:
    """The dataset gx:1: s1 to train on, s2 to choose the epoch, s3 to be scored on."""
    for name in ("s1", "s2", "s3"):
        put(http, f"/v1/scenes/{name}", write_scene(folder / f"{name}.tif", pixels(seed=ord(name[1]))))
    put(http, "/v1/labels/truth", write_scene(folder / "truth.tif", TRUTH, nodata=255))
    assert make_dataset(http, do) == DATASET


def grow_model(http: httpx.Client, do: Perform, folder: Path) -> None:
    """The model cane, version 1, trained on gx:1, and its map of s1."""
    do(http.post("/v1/trainings", json={"dataset": DATASET, "register_as": "cane", "config": TINY}).json()["id"])
    do(http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}).json()["id"])


@pytest.fixture(scope="session")
def prepared_sqlite(migrated_sqlite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on SQLite that has a dataset."""
    with grown(on(migrated_sqlite), tmp_path_factory.mktemp("prepared"), grow_dataset) as settings:
        yield settings


@pytest.fixture(scope="session")
def prepared_postgresql(migrated_postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on PostgreSQL that has a dataset."""
    with grown(on(migrated_postgresql), tmp_path_factory.mktemp("prepared"), grow_dataset) as settings:
        yield settings


@pytest.fixture(scope="session")
def trained_sqlite(prepared_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on SQLite that has a dataset, a model and a map."""
    with grown(prepared_sqlite, tmp_path_factory.mktemp("trained"), grow_model) as settings:
        yield settings


@pytest.fixture(scope="session")
def trained_postgresql(prepared_postgresql: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on PostgreSQL that has a dataset, a model and a map."""
    with grown(prepared_postgresql, tmp_path_factory.mktemp("trained"), grow_model) as settings:
        yield settings


def on(database_url: str) -> Settings:
    """Settings of a service on this database, without data."""
    return Settings(data_dir=Path("none-yet"), database_url=database_url, lease_s=10).model_copy(update=SMALL)


@pytest.fixture(params=["sqlite", "postgresql"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """For `settings`, of a service that has what `grow_dataset` makes; once on SQLite and once on PostgreSQL."""
    with copied(request.getfixturevalue(f"prepared_{request.param}"), tmp_path) as settings:
        yield settings


@pytest.fixture(params=["sqlite", "postgresql"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """For `settings`, of a service that has what `grow_model` makes, too; once on SQLite and once on PostgreSQL."""
    with copied(request.getfixturevalue(f"trained_{request.param}"), tmp_path) as settings:
        yield settings


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
