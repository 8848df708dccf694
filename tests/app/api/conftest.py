"""The API as a real server on the loopback, and real files to send to it."""

import asyncio
import io
import itertools
import json
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from structlog.stdlib import ProcessorFormatter

from app.api.http.connections import BoundedProtocol
from app.core import tenancy
from app.core.db import migrate
from app.jobs import claims, lifecycle
from app.jobs.kinds import KINDS
from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests import servers
from tests.ml.conftest import MakeScene, make_scene, write_scene
from worker import attempt
from worker.context import JobContext

__all__ = ["make_scene"]
Perform = Callable[[str], None]
Extend = Callable[[httpx.Client, Perform, Path], None]
TINY = {
    "net": {"depth": 1, "width": 4},
    "chip_size": 32,
    "batch_size": 2,
    "epochs": 1,
    "review_labels": False,
    "optimizer": {"name": "adamw", "lr": 0.01},
}

# Limits low enough for tests to reach. The rounds of a server take as much computing as a request or two.
SMALL = {"upload_limit_bytes": 2_000_000, "upload_idle_s": 1.0, "sweep_s": 1.0, "lease_s": 600}
DATASET = "gx:1"
TRUTH = np.zeros((1, 64, 64), np.uint8)  # labels for `pixels`: the left half is class 1, and the last row is unlabelled
TRUTH[:, :, :32], TRUTH[:, -1] = 1, 255


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with small limits."""
    return settings.model_copy(update=SMALL)


@pytest.fixture
def http(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a new server on `settings`."""
    with serving(settings) as client:
        yield client


@pytest.fixture
def log(http: httpx.Client) -> io.StringIO:
    """What the service of `http` writes into its log from now on."""
    stream = io.StringIO()
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, ProcessorFormatter) and isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)
    return stream


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """Run a server on `settings`; yields a client of it."""
    app = create_app(settings)
    app.openapi_schema = description()
    with serving_app(app) as client:
        yield client


@cache
def description() -> dict[str, Any]:
    """/openapi.json, the same for all settings: an app that makes its own takes 0.3 s for its first answer."""
    return create_app(Settings()).openapi()


class QuickServer(uvicorn.Server):
    """A server that ends at once when it is told to and nobody is connected. uvicorn's own takes 0.2 s for that."""

    async def main_loop(self) -> None:
        """Work until `should_exit` is set."""
        for tick in itertools.count():
            if await self.on_tick(tick):
                return
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, as uvicorn does it if somebody is connected: then it waits for answers that are not complete."""
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()


@contextmanager
def serving_app(app: FastAPI) -> Iterator[httpx.Client]:
    """Run a server of `app`; yields a client of it."""
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1, http=BoundedProtocol)
    server = QuickServer(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    # verify: certificates of authorities, which no test needs, take longer to load than most answers
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=False) as client:
            yield client
    finally:  # else a failure in the preparation of data would keep the thread, and so pytest, alive for ever
        server.should_exit = True
        thread.join()


@pytest.fixture
def do(services: Services) -> Perform:
    """A function that does one job as the process of a worker does, in this process."""
    return partial(do_as_worker, services)


def do_as_worker(services: Services, job_id: str) -> None:
    """Do the job that waits longest in the queue of `job_id`, as the process of a worker does, in this process.

    To fork a process for it takes longer than such a small job. `furnish` has a job of each kind done in one.
    """
    with services.database.read() as session:
        queue = KINDS[lifecycle.get(session, job_id).kind].queue
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        claim = claims.claim_waiting(session, queue)
    if claim is None:
        return
    supervisor, connection = Pipe()  # nobody reads the few reports of progress
    with supervisor, connection, tenancy.acting_for(claim.tenant):
        attempt.work(services, JobContext(services.database, claim.in_its_scope(), connection))


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    """The file of a scene of 4 bands, whose left half is bright."""
    return make_scene(pixels(seed=0), "s1.tif")


def pixels(seed: int, size: int = 64) -> np.ndarray:
    """Pixels of a scene, uint16 (4, size, size), whose left half is brighter than the noise."""
    image = np.random.default_rng(seed).integers(100, 200, (4, size, size), dtype=np.uint16)
    image[:, :, : size // 2] += 500
    return image


@pytest.fixture
def mask(make_scene: MakeScene) -> Path:
    """The file of the labels of `scene`, as a raster."""
    return make_scene(TRUTH, "truth.tif", nodata=255)


def zones_file(path: Path) -> Path:
    """Write a layer of one zone, with the code 450122, as GeoJSON; returns its path."""
    ring = [[105.0, 10.8], [105.01, 10.8], [105.01, 10.86], [105.0, 10.86], [105.0, 10.8]]
    zone = {"type": "Feature", "properties": {"code": "450122"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [zone]}))
    return path


@contextmanager
def copy_of_service(settings: Settings, folder: Path) -> Iterator[Settings]:
    """Settings of a service with copies of the data and the database of a service that is closed."""
    data = folder / "data"
    if settings.data_dir.exists():
        shutil.copytree(settings.data_dir, data)
    with servers.copy_of(settings.database, folder) as url:
        yield settings.model_copy(update={"data_dir": data, "database_url": url})


@contextmanager
def extended_copy(settings: Settings, folder: Path, extend: Extend) -> Iterator[Settings]:
    """Settings of a copy of a service, after `extend` has added data to it and it was closed. Tests copy it again."""
    with copy_of_service(settings, folder) as larger:
        services = Services.open(larger)
        with serving(larger) as http:
            extend(http, partial(do_as_worker, services), folder)
        services.close()
        yield larger


def add_dataset(http: httpx.Client, do: Perform, folder: Path) -> None:
    """Make the dataset gx:1, with s1 to train on, s2 to choose the epoch and s3 to score on."""
    for name in ("s1", "s2", "s3"):
        put(http, f"/v1/scenes/{name}", write_scene(folder / f"{name}.tif", pixels(seed=ord(name[1]))))
    put(http, "/v1/labels/truth", write_scene(folder / "truth.tif", TRUTH, nodata=255))
    assert make_dataset(http, do) == DATASET


def add_model(http: httpx.Client, do: Perform, folder: Path) -> None:
    """Train version 1 of the model cane on gx:1, and predict s1 with it."""
    do(http.post("/v1/trainings", json={"dataset": DATASET, "register_as": "cane", "config": TINY}).json()["id"])
    do(http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}).json()["id"])


@pytest.fixture(scope="session")
def prepared_sqlite(migrated_sqlite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on SQLite that has a dataset."""
    with extended_copy(on(migrated_sqlite), tmp_path_factory.mktemp("prepared"), add_dataset) as settings:
        yield settings


@pytest.fixture(scope="session")
def prepared_postgresql(migrated_postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on PostgreSQL that has a dataset."""
    with extended_copy(on(migrated_postgresql), tmp_path_factory.mktemp("prepared"), add_dataset) as settings:
        yield settings


@pytest.fixture(scope="session")
def trained_sqlite(prepared_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on SQLite that has a dataset, a model and a prediction."""
    with extended_copy(prepared_sqlite, tmp_path_factory.mktemp("trained"), add_model) as settings:
        yield settings


@pytest.fixture(scope="session")
def trained_postgresql(prepared_postgresql: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service on PostgreSQL that has a dataset, a model and a prediction."""
    with extended_copy(prepared_postgresql, tmp_path_factory.mktemp("trained"), add_model) as settings:
        yield settings


def on(database_url: str) -> Settings:
    """Settings of a service without data on this database."""
    plain = Settings(data_dir=Path("none-yet"), database_url=database_url, retry_pauses_s="0")
    return plain.model_copy(update=SMALL)


@contextmanager
def serving_for_a_module(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of one server for all tests of a module. `request.param` is its database: "sqlite" or "postgresql"."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    with servers.database(server) if server else nullcontext("") as url:
        settings = Settings(data_dir=tmp_path_factory.mktemp("data"), database_url=url).model_copy(update=SMALL)
        migrate(settings)
        with serving(settings) as client:
            yield client


@pytest.fixture(params=["sqlite", "postgresql"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """A replacement of `settings`: a service after `add_dataset`, once on SQLite and once on PostgreSQL."""
    with copy_of_service(request.getfixturevalue(f"prepared_{request.param}"), tmp_path) as settings:
        yield settings


@pytest.fixture(params=["sqlite", "postgresql"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """A replacement of `settings`: a service after `add_model`, once on SQLite and once on PostgreSQL."""
    with copy_of_service(request.getfixturevalue(f"trained_{request.param}"), tmp_path) as settings:
        yield settings


def make_dataset(http: httpx.Client, do: Perform, **changes: object) -> str:
    """Make a version of the dataset gx; returns its id. Its scenes share ground, which `leaks` must allow."""
    split = {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]}
    body = {"name": "gx", "scenes": ["s1", "s2", "s3"], "labels": ["truth"], "split": split, "leaks": "allow"}
    id_: str = http.post("/v1/datasets", json=body | changes).json()["id"]
    do(id_)
    return id_


def put(http: httpx.Client, path: str, file: Path, **parameters: str) -> httpx.Response:
    """Upload `file` to `path`, with query parameters."""
    return http.put(path, content=file.read_bytes(), params=parameters)
