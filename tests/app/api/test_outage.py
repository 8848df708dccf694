"""The API while its database or its broker is down, and when clients vanish.

Nothing is half done, and nothing that was accepted is lost.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.db import migrate
from app.jobs.queue import JobQueue
from app.settings import Settings
from tests import servers
from tests.app.api.conftest import SMALL, pixels, put, serving
from tests.ml.conftest import MakeScene
from tests.waiting import eventually

Make = Callable[..., Settings]


@pytest.fixture
def make_settings(tmp_path: Path) -> Make:
    """A function that makes settings of a service, and migrates its database."""

    def make(**values: Any) -> Settings:
        settings = Settings(data_dir=tmp_path / "data", **values).model_copy(update=SMALL)
        migrate(settings)
        return settings

    return make


@pytest.fixture
def redis() -> Iterator[tuple[str, servers.Server]]:
    """The URL of a Redis, and the server, which a test may stop."""
    with servers.redis_process() as (url, process):
        yield f"{url}/0", process


def test_nothing_is_accepted_while_the_database_is_down_and_all_works_again_afterwards(
    make_settings: Make, scene: Path
) -> None:
    with servers.postgres_process() as (url, process):
        settings = make_settings(database_url=url.render_as_string(hide_password=False))
        with serving(settings) as http:
            assert put(http, "/v1/scenes/before", scene).status_code == 201
            process.stop()
            for answer in put(http, "/v1/scenes/late", scene), http.get("/v1/scenes"), http.get("/v1/jobs/trn_1"):
                assert answer.status_code == 503
                assert answer.headers["content-type"] == "application/problem+json"
                assert "Traceback" not in answer.text and "psycopg" not in answer.text
            assert "database" in http.get("/readyz").text
            assert http.get("/healthz").status_code == 200
            process.start()
            eventually(lambda: http.get("/v1/scenes").status_code == 200)
            assert http.get("/v1/scenes/late").status_code == 404
            assert put(http, "/v1/scenes/late", scene).status_code == 201
            assert http.get("/v1/scenes/before").status_code == 200


def test_a_job_is_accepted_without_the_broker_and_queued_when_the_broker_is_back(
    make_settings: Make, make_scene: MakeScene, mask: Path, redis: tuple[str, servers.Server]
) -> None:
    url, process = redis
    settings = make_settings(broker_url=url)
    with serving(settings) as http:
        for name in ("s1", "s2"):
            put(http, f"/v1/scenes/{name}", make_scene(pixels(seed=1), f"{name}.tif"))
        put(http, "/v1/labels/truth", mask)
        process.stop()
        split = {"by": "scene", "train": ["s1"], "val": ["s2"], "test": []}
        body = {"name": "gx", "scenes": ["s1", "s2"], "labels": ["truth"], "split": split, "leaks": "allow"}
        answer = http.post("/v1/datasets", json=body)
        assert answer.status_code in (201, 202), answer.text
        process.start()
        queue = JobQueue(settings)
        eventually(lambda: queue.messages("light") > 0)


def test_an_upload_that_breaks_off_leaves_nothing(make_settings: Make, scene: Path, tmp_path: Path) -> None:
    content = scene.read_bytes()
    with serving(make_settings()) as http:
        before = files(tmp_path / "data")
        host, port = http.base_url.host, http.base_url.port
        head = f"PUT /v1/scenes/half HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n\r\n"
        with socket.create_connection((host, port or 80)) as client:
            client.sendall(head.encode() + content[: len(content) // 2])
            eventually(lambda: files(tmp_path / "data") != before)  # the body is arriving
        eventually(lambda: files(tmp_path / "data") == before)
        assert http.get("/v1/scenes/half").status_code == 404
        assert put(http, "/v1/scenes/half", scene).status_code == 201


def files(folder: Path) -> set[Path]:
    """All files under `folder`, without those of the database."""
    return {path for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name}
