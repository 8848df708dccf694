"""The reported status of a job with child jobs is the same in its row, in every list and in every count."""

import pytest

from app.jobs import claims, lifecycle
from app.mapping import parts, predictions
from app.operations.job_counts import JobCounter
from app.services import Services
from app.tables import ModelVersion, Prediction, Scene
from ml.config import PredictConfig, TrainConfig
from tests.app.documents import CONTRACT, SCENE, UNSCORED


@pytest.fixture
def shared(services: Services) -> list[str]:
    """The ids of a prediction and of its two parts."""
    with services.database.write() as session:
        stored = {"sha256": "0" * 64, "size_bytes": 1, "object": "x"}
        session.add(Scene(id="s1", info=SCENE, west=0, south=0, east=1, north=1, **stored))
        made = {"metrics": UNSCORED, "contract": CONTRACT, "config": TrainConfig(), "versions": {}}
        session.add(ModelVersion(name="a", version=1, **made, **stored))
        lifecycle.create(session, "prd_1", "prediction", total=3)
        session.flush()
        session.add(Prediction(id="prd_1", scene="s1", model="a", version=1, config=PredictConfig()))
        session.flush()
        return ["prd_1", *(job.id for job in parts.add(session, "prd_1", rows=200, count=2))]


def reported(services: Services, job_id: str) -> str:
    """The reported status in the row of a job, after a check that the list of each status and the counts agree."""
    with services.database.read() as session:
        expected = lifecycle.get(session, job_id).reported_status
    for status in lifecycle.LEGAL:
        with services.database.read() as session:
            found = predictions.find(session, status=status, limit=10, token=None)
        assert [row.id for row in found.rows] == ([job_id] if status == expected else []), status
    counter = JobCounter(services.database)
    counter.renew()
    counts = {status: count for (kind, status), count in counter.counts().items() if kind == "prediction"}
    assert counts == {expected: 1}
    return expected


def claim(services: Services, job_id: str) -> claims.Claim:
    with services.database.write() as session:
        claimed = claims.claim(session, job_id)
    assert claimed is not None
    return claimed


def test_a_prediction_in_parts_is_running_once_a_part_was_claimed(services: Services, shared: list[str]) -> None:
    prediction, first, second = shared
    assert reported(services, prediction) == "accepted"
    claimed = claim(services, first)
    assert reported(services, prediction) == "running"
    with services.database.write() as session:
        claims.release(session, claimed)
    assert reported(services, prediction) == "running", "the part had already begun"
    for part in (first, second):
        with services.database.write() as session:
            again = claims.claim(session, part)
            assert again is not None
            claims.succeed(session, again)
    assert reported(services, prediction) == "running", "its parts must still be joined"
    joining = claim(services, prediction)
    assert reported(services, prediction) == "running"
    with services.database.write() as session:
        claims.release(session, joining)
    assert reported(services, prediction) == "accepted", "no worker has claimed it, and no part is running"
    joining = claim(services, prediction)
    with services.database.write() as session:
        claims.succeed(session, joining)
    assert reported(services, prediction) == "successful"


def test_a_dismissed_prediction_in_parts_is_dismissed_everywhere(services: Services, shared: list[str]) -> None:
    claim(services, shared[1])
    with services.database.write() as session:
        assert lifecycle.dismiss(session, shared[0]).reported_status == "dismissed"
    assert reported(services, shared[0]) == "dismissed"
