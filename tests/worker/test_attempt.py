"""Attempts at real jobs, on both databases."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core.idempotency import FRESH
from app.data import datasets, labels, scenes
from app.data.scenes import SceneOptions
from app.jobs import lifecycle
from app.requests.data import DatasetRequest
from app.services import Services
from app.storage import Upload, sha256_of
from app.tables import LabelSet, Scene
from ml.datasets.splits import SceneSplit
from ml.labels.classes import LabelOptions
from tests.ml.conftest import GRID, MakeScene, make_scene
from tests.worker import children
from worker.supervisor import perform, perform_all

__all__ = ["make_scene"]


@pytest.fixture
def dataset(services: Services, make_scene: MakeScene) -> str:
    """The id of an accepted dataset of two scenes."""
    classes = np.zeros((1, 64, 64), np.uint8)
    classes[:, :, :32] = 1
    for number, name in enumerate(("s1", "s2")):
        place = GRID @ Affine.translation(100 * number, 0)
        mask = make_scene(classes, f"labels-{name}.tif", transform=place)
        labels.add(services, f"labels-{name}", received(services, mask), LabelOptions())
        image = np.random.default_rng(number).integers(1, 999, (2, 64, 64), dtype=np.uint16)
        scenes.add(
            services,
            name,
            received(services, make_scene(image, f"{name}.tif", transform=place)),
            SceneOptions(),
        )
    split = SceneSplit(by="scene", train=("s1",), val=("s2",))
    request = DatasetRequest(name="gx", scenes=("s1", "s2"), labels=("labels-s1", "labels-s2"), split=split)
    return datasets.create(services, request, FRESH).id


def received(services: Services, file: Path) -> Upload:
    path = services.settings.data_dir / "store" / "incoming" / file.name
    path.write_bytes(file.read_bytes())
    return Upload(path, sha256_of(path))


def objects(services: Services, kind: str) -> list[Path]:
    return [path for path in (services.settings.data_dir / "store" / "objects" / kind).rglob("*") if path.is_file()]


def test_a_job_is_done_recorded_and_its_scratch_folder_removed(services: Services, dataset: str) -> None:
    perform(services, "light", threading.Event())
    with services.database.read() as session:
        assert lifecycle.get(session, dataset).status == "successful"
        masks = datasets.prepared(datasets.ready(session, dataset)).masks
        assert "successful" in [line.text for line in lifecycle.read_log(session, dataset)]
    assert all(services.store.file(key).is_file() for part in masks.values() for key in part.values())
    assert not list((services.settings.data_dir / "scratch").iterdir())


def test_one_notification_makes_a_worker_do_all_waiting_jobs(services: Services, dataset: str) -> None:
    with services.database.read() as session:
        request = datasets.get(session, dataset).request
    others = [datasets.create(services, request.model_copy(update={"name": name}), FRESH).id for name in ("a", "b")]
    perform_all(services, ["training", "light"], threading.Event())
    with services.database.read() as session:
        assert {lifecycle.get(session, id_).status for id_ in (dataset, *others)} == {"successful"}


def test_a_job_with_ten_notifications_is_done_once(services: Services, dataset: str) -> None:
    """Four workers receive them, some at the same time and some after the job was done."""

    def receive(_: int) -> bool:
        return perform(services, "light", threading.Event())

    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(receive, range(10))).count(True) == 1
    with services.database.read() as session:
        job = lifecycle.get(session, dataset)
        claimed = [line.text for line in lifecycle.read_log(session, dataset)].count("claimed")
    assert (job.status, job.attempt, job.failures, claimed) == ("successful", 1, 0, 1)


@pytest.mark.parametrize("lost", [True, False], ids=["missing", "damaged"])
@pytest.mark.parametrize(("owner", "row"), [("scene 's2'", scenes.get), ("labels 'labels-s2'", labels.get)])
def test_a_job_with_a_lost_input_fails_names_it_without_its_key_and_leaves_no_file(
    services: Services, dataset: str, owner: str, row: Callable[[Session, str], Scene | LabelSet], lost: bool
) -> None:
    with services.database.read() as session:
        key = row(session, owner.split("'")[1]).object
    file = services.store.file(key)
    file.unlink() if lost else file.write_bytes(b"damaged")
    perform(services, "light", threading.Event())
    with services.database.read() as session:
        job = lifecycle.get(session, dataset)
        log = [line.text for line in lifecycle.read_log(session, dataset)]
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == ("missing-object" if lost else "damaged-object")
    (fault,) = job.error.errors
    assert owner in fault.detail and "restore" in fault.hint
    for told in (job.message, job.error.detail, log[-1]):
        assert owner in told and "restore" in told
    known = job.message + job.error.model_dump_json() + "".join(log)
    assert not any(secret in known for secret in secrets_of(services, key))
    assert objects(services, "datasets") == []
    assert not list((services.settings.data_dir / "scratch").iterdir())


def secrets_of(services: Services, key: str) -> list[str]:
    """What clients must not learn of an object: parts of its key and of its path, and the URL of the store."""
    return [*key.split("/")[2:], key.rpartition("/")[0] + "/", str(services.settings.data_dir), services.store.url]


def test_a_job_whose_document_a_newer_version_has_written_is_given_back(services: Services, dataset: str) -> None:
    newer = {"postgresql": "request || '{\"newer\": 1}'", "sqlite": "json_set(request, '$.newer', 1)"}
    with services.database.write() as session:
        session.execute(text(f"UPDATE datasets SET request = {newer[services.database.engine.dialect.name]}"))
    perform(services, "light", threading.Event())
    with services.database.read() as session:
        job = lifecycle.get(session, dataset)
    assert (job.status, job.failures, job.returns) == ("accepted", 0, 1)
    assert "its worker is older than what the job was asked with" in job.message


class StoppedAtWork(threading.Event):
    """An event that is set from the second query on, so that a worker is stopped after it has claimed its job."""

    def is_set(self) -> bool:
        was_set = super().is_set()
        self.set()
        return was_set


def test_a_worker_that_is_being_stopped_claims_nothing(services: Services, dataset: str) -> None:
    stopping = threading.Event()
    stopping.set()
    perform(services, "light", stopping)
    with services.database.read() as session:
        assert lifecycle.get(session, dataset).attempt == 0


def test_a_worker_that_is_stopped_during_a_job_gives_it_back(services: Services, dataset: str) -> None:
    perform(services, "light", StoppedAtWork(), children.waits_for_message)
    with services.database.read() as session:
        job = lifecycle.get(session, dataset)
    assert (job.status, job.attempt, job.failures) == ("accepted", 1, 0)
    perform(services, "light", threading.Event())
    with services.database.read() as session:
        assert lifecycle.get(session, dataset).status == "successful"
