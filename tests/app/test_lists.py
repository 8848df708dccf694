"""Lists of models and predictions: their order, their pages and their filters, on both databases."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from app.core.db import migrate, schemas
from app.core.errors import Invalid, NotFound
from app.core.paging import Page
from app.data.scenes import Selection
from app.jobs import lifecycle
from app.learning import experiments, registry
from app.mapping import predictions
from app.requests.learning import ExperimentRequest
from app.services import Services
from app.tables import Alias, Dataset, Experiment, ModelVersion, Prediction, Scene, Training
from ml.checkpoint_header import CheckpointHeader
from ml.config import PredictConfig, TrainConfig
from ml.evaluation.metrics import Metrics
from tests.app.documents import CONTRACT, REQUEST, SCENE, UNSCORED

START = datetime(2026, 1, 1, tzinfo=UTC)
HERE, EVERYWHERE = (10.2, 0.0, 10.3, 1.0), (-180.0, -90.0, 180.0, 90.0)
STATUSES = ("successful", "failed", "running", "accepted")


def version(name: str, number: int) -> ModelVersion:
    documents = {"metrics": UNSCORED, "contract": CONTRACT, "config": TrainConfig(), "versions": {}}
    stored = {"object": f"{name}-{number}", "sha256": "0" * 64, "size_bytes": 1}
    return ModelVersion(name=name, version=number, **documents, **stored)


@pytest.fixture
def models(services: Services) -> None:
    """Three versions of each of the models a, b and c. Each champion is version 1; version 3 of b is also "best"."""
    with services.database.write() as session:
        session.add_all(version(name, number) for name in "abc" for number in (1, 2, 3))
        session.flush()
        session.add_all(Alias(model=name, alias=registry.CHAMPION, version=1) for name in "abc")
        session.add(Alias(model="b", alias="best", version=3))


@pytest.fixture
def maps(services: Services, models: None) -> None:
    """Three scenes at 10, 11 and 12 degrees east, a year apart, and a prediction of each scene in each status."""
    with services.database.write() as session:
        for number in range(3):
            west, acquired = 10.0 + number, START.replace(year=2020 + number)
            corners = {"west": west, "south": 0.0, "east": west + 0.5, "north": 1.0}
            common = {"sha256": "0" * 64, "size_bytes": 1, "object": "x", "info": SCENE}
            session.add(Scene(id=f"s{number}", acquired=acquired, **corners, **common))
        session.flush()
        asked: dict[str, Any] = {"model": "a", "version": 1, "config": PredictConfig()}
        for number in range(3):
            for place, status in enumerate(STATUSES):
                moment = START + timedelta(minutes=10 * place + number)
                id_ = f"{status}-{number}"
                job = lifecycle.create(session, id_, "prediction")
                job.created, job.status = moment, status
                session.add(Prediction(id=id_, scene=f"s{number}", created=moment, **asked))


def found(services: Services, token: str | None = None, limit: int = 100, **filters: Any) -> Page[Prediction]:
    status = filters.pop("status", None)
    with services.database.read() as session:
        return predictions.find(session, Selection(**filters), status=status, limit=limit, token=token)


def ids(page: Page[Prediction]) -> list[str]:
    return [row.id for row in page.rows]


def test_models_are_listed_by_name_each_with_its_newest_version(services: Services, models: None) -> None:
    with services.database.read() as session:
        first = registry.newest(session, limit=2, token=None)
        second = registry.newest(session, limit=2, token=first.next)
    assert [(row.name, row.version) for row in (*first.rows, *second.rows)] == [("a", 3), ("b", 3), ("c", 3)]
    assert second.next is None


def test_versions_are_listed_newest_first(services: Services, models: None) -> None:
    with services.database.read() as session:
        first = registry.versions(session, "b", limit=2, token=None)
        second = registry.versions(session, "b", limit=2, token=first.next)
        assert registry.versions(session, "b", limit=3, token=None).next is None
        with pytest.raises(NotFound):
            registry.versions(session, "d", limit=2, token=None)
    assert [row.version for row in (*first.rows, *second.rows)] == [3, 2, 1]


@pytest.mark.parametrize("token", ["\0", "../x", "a b", "é"])
def test_a_token_that_no_list_of_models_returned_is_refused(services: Services, models: None, token: str) -> None:
    with services.database.read() as session:
        with pytest.raises(Invalid):
            registry.newest(session, limit=2, token=token)
        with pytest.raises(Invalid):
            registry.versions(session, "a", limit=2, token=token)


def test_the_aliases_of_a_page_of_models_are_found_for_each_model(services: Services, models: None) -> None:
    with services.database.read() as session:
        both = registry.aliases_between(session, "a", "b")
        assert {name: [(row.alias, row.version) for row in rows] for name, rows in both.items()} == {
            "a": [("champion", 1)],
            "b": [("best", 3), ("champion", 1)],
        }
        assert [row.alias for row in registry.aliases(session, "b")] == ["best", "champion"]


@pytest.mark.parametrize("few", [0, 500], ids=["many scenes", "few scenes"])
def test_predictions_are_found_by_place_time_and_status(
    services: Services, maps: None, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "FEW_SCENES", few)  # the answer must not depend on the query that finds it
    newest_first = [f"{status}-{number}" for status in reversed(STATUSES) for number in (2, 1, 0)]
    assert ids(found(services)) == newest_first
    assert ids(found(services, bbox=EVERYWHERE)) == newest_first
    assert ids(found(services, bbox=HERE)) == [f"{status}-0" for status in reversed(STATUSES)]
    assert ids(found(services, status="failed")) == ["failed-2", "failed-1", "failed-0"]
    since = (START.replace(year=2021), None)
    assert ids(found(services, status="failed", between=since)) == ["failed-2", "failed-1"]
    assert ids(found(services, status="failed", between=since, bbox=HERE)) == []
    assert ids(found(services, bbox=(0.0, 0.0, 1.0, 1.0))) == []


@pytest.mark.parametrize("filters", [{}, {"bbox": EVERYWHERE}, {"status": "failed"}])
def test_each_prediction_is_on_one_page(services: Services, maps: None, filters: dict[str, Any]) -> None:
    paged: list[str] = []
    whole, token = ids(found(services, **filters)), None
    while not paged or token:
        page = found(services, token, 2, **filters)
        paged += ids(page)
        token = page.next
    assert paged == whole


def test_predictions_that_requested_a_removed_engine_are_listed(services: Services, maps: None) -> None:
    before = schemas()[schemas().index("0009") + 1 :]
    migrate(services.settings, f"-{len(schemas()) - len(before)}")
    with services.database.write() as session:
        session.execute(text("""UPDATE predictions SET config = '{"engine": "ncnn", "threshold": 0.25}'"""))
    migrate(services.settings)
    assert {row.config for row in found(services).rows} == {PredictConfig(threshold=0.25)}


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"])
def test_a_token_with_a_time_that_no_list_has_is_refused(services: Services, moment: str) -> None:
    forged = b64encode(json.dumps([moment, "x"]).encode()).decode()
    with pytest.raises(Invalid, match="token"):
        found(services, token=forged)


def test_the_trainings_of_a_page_of_experiments_are_summarised(services: Services) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "gx:1", "dataset")
        session.add(Dataset(id="gx:1", name="gx", version=1, request=REQUEST, scenes=[], labels=[]))
        for experiment in ("e1", "e2"):
            lifecycle.create(session, experiment, "experiment")
            session.add(Experiment(id=experiment, dataset="gx:1", request=ExperimentRequest(dataset="gx:1")))
        session.flush()
        config, scored = TrainConfig(seed=7), Metrics.from_confusion(np.array(((9, 1), (2, 8))))
        header = CheckpointHeader(contract=CONTRACT, config=config, val=scored, best_epoch=1)
        for id_, kept in (("t1", None), ("t2", header)):
            lifecycle.create(session, id_, "training", parent="e1")
            common = {"dataset": "gx:1", "register_as": "", "experiment": "e1", "variant": "ce"}
            session.add(Training(id=id_, config=config, header=kept, **common))
            session.flush()
    with services.database.read() as session:
        runs = experiments.summaries(session, ["e1", "e2"])
    shown: dict[str, Any] = {"variant": "ce", "seed": 7, "status": "accepted", "test": None}
    assert runs == {
        "e1": [
            experiments.TrainingSummary(training="t1", val=None, **shown),
            experiments.TrainingSummary(training="t2", val=scored, **shown),
        ],
        "e2": [],
    }
