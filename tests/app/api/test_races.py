"""Requests that arrive at the same time: whatever is accepted is whole."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import httpx
import pytest
from sqlalchemy import delete, select, text

from app.core.db import migrate
from app.services import Services
from app.settings import Settings
from app.tables import LabelSet, Scene
from tests.app.api.conftest import Perform, make_dataset, put
from tests.app.api.test_models import bundle as bundle
from tests.rounds import rounds

ROUNDS = rounds(20)  # of each race, on each database
Send = Callable[[], httpx.Response]


def copy_row(services: Services, row: Scene | LabelSet, name: str) -> None:
    """Record the file of `row` under another name, too."""
    with services.database.write() as session:
        values = {column.key: getattr(row, column.key) for column in type(row).__table__.columns}
        session.add(type(row)(**values | {"id": name}))


def at_once(pool: ThreadPoolExecutor, *requests: Send) -> list[int]:
    """The statuses of the answers to requests that are sent at the same moment."""
    barrier = Barrier(len(requests))

    def send(request: Send) -> int:
        barrier.wait()
        return request().status_code

    return list(pool.map(send, requests))


def request_for(what: str, name: str) -> tuple[str, dict[str, object]]:
    """Path and body of a request that needs the scene, or the labels, `name`."""
    if what == "scene of a prediction":
        return "/v1/predictions", {"scene": name, "model": "cane:1"}
    scenes, labels = (["s1"], name) if what == "labels of a dataset" else (["s1", name], "truth")
    return "/v1/datasets", {"name": "d", "scenes": scenes, "labels": [labels], "split": {"by": "block"}}


def object_of(services: Services, kind: str) -> str | None:
    """The key of the file of the only scene, or the only label set; None if there is none."""
    column = Scene.object if kind == "scenes" else LabelSet.object
    with services.database.read() as session:
        return session.scalar(select(column))


@pytest.fixture
def filled(http: httpx.Client, services: Services, scene: Path, mask: Path, bundle: Path) -> Services:
    """The services of a server that has the scene s1, the labels truth and the model cane."""
    assert put(http, "/v1/scenes/s1", scene).status_code == 201
    assert put(http, "/v1/labels/truth", mask).status_code == 201
    assert http.post("/v1/models/cane/versions", content=bundle.read_bytes()).status_code == 201
    return services


@pytest.mark.parametrize("what", ["scene of a dataset", "labels of a dataset", "scene of a prediction"])
def test_what_a_job_needs_is_not_deleted_while_the_job_is_made(http: httpx.Client, filled: Services, what: str) -> None:
    kind = "labels" if what.startswith("labels") else "scenes"
    with filled.database.read() as session:
        row = session.get_one(*((LabelSet, "truth") if kind == "labels" else (Scene, "s1")))
    outcomes = set[tuple[bool, bool]]()
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            name = f"x{number}"
            copy_row(filled, row, name)
            path, body = request_for(what, name)
            delete = partial(http.delete, f"/v1/{kind}/{name}")
            made, deleted = at_once(pool, partial(http.post, path, json=body), delete)
            assert made in (201, 409, 422), what
            assert deleted in (204, 409)
            assert (made == 201) != (deleted == 204), "a job without what it needs, or both refused"
            outcomes.add((made == 201, deleted == 204))
    assert outcomes


def test_a_file_that_was_accepted_is_not_lost_to_a_deletion_of_the_same_bytes(
    http: httpx.Client, services: Services, scene: Path, mask: Path
) -> None:
    files = {"scenes": scene.read_bytes(), "labels": mask.read_bytes()}
    with ThreadPoolExecutor(3) as pool:
        for _ in range(10):
            for kind, content in files.items():
                url = f"/v1/{kind}/x"
                assert http.put(url, content=content).status_code in (200, 201)
                again = partial(http.put, url, content=content)
                deleted, *_ = at_once(pool, partial(http.delete, url), again, again)
                assert deleted == 204
                key = object_of(services, kind)
                assert key is None or services.store.file(key).read_bytes() == content


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_a_deletion_that_unlinks_late_leaves_the_file_of_a_new_upload(
    http: httpx.Client, services: Services, scene: Path, mask: Path, kind: str
) -> None:
    content = scene if kind == "scenes" else mask
    put(http, f"/v1/{kind}/x", content)
    first = object_of(services, kind)
    assert first
    with services.database.write() as session:  # the first half of a DELETE
        session.execute(delete(Scene if kind == "scenes" else LabelSet))
    assert put(http, f"/v1/{kind}/x", content).status_code == 201
    services.store.delete(first)  # its second half
    assert services.store.file(object_of(services, kind) or "").read_bytes() == content.read_bytes()


def test_nothing_is_left_in_the_store_of_what_was_deleted(http: httpx.Client, services: Services, scene: Path) -> None:
    content = scene.read_bytes()
    with ThreadPoolExecutor(4) as pool:
        statuses = at_once(pool, *[partial(http.put, "/v1/scenes/x", content=content)] * 4)
    assert sorted(statuses) == [200, 200, 200, 201]
    assert len(list(services.store.keys("scenes/x/"))) == 1
    assert http.delete("/v1/scenes/x").status_code == 204
    assert not list(services.store.keys("scenes/x/"))


def test_a_scene_of_failed_datasets_can_be_deleted(http: httpx.Client, do: Perform, filled: Services) -> None:
    id_ = make_dataset(http, do, scenes=["s1"], split={"by": "block"}, labels=["truth"])
    assert http.get(f"/v1/jobs/{id_}").json()["status"] == "failed", "one small scene cannot be divided"
    assert http.delete("/v1/scenes/s1").status_code == 204
    assert http.delete("/v1/labels/truth").status_code == 204
    assert http.get(f"/v1/datasets/{id_}").json()["scenes"] == ["s1"], "what was asked for is still told"


def test_scenes_of_earlier_datasets_are_kept_after_the_migration(prepared: Settings) -> None:
    services = Services.open(prepared)
    with services.database.write() as session:
        session.execute(text('UPDATE datasets SET scenes = \'["s1", "s2", "s3", "s1", "gone"]\''))
    migrate(prepared, "0009")
    migrate(prepared)
    with services.database.read() as session:
        assert session.execute(text("SELECT used FROM dataset_scenes ORDER BY used")).scalars().all() == [
            "s1",
            "s2",
            "s3",
        ]
        assert session.execute(text("SELECT used FROM dataset_labels")).scalars().all() == ["truth"]
    services.close()
