"""A job that failed or was dismissed is done again under its own id; on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import httpx
import pytest

from app.core.columns import now
from app.core.db import Database
from app.jobs import claims
from app.services import Services
from app.settings import Settings
from tests.app.api.conftest import DATASET, TINY, Perform, make_dataset, pixels, put, serving
from tests.app.api.test_parts import ROWS, parts_of
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_races import at_once
from tests.app.documents import problem
from tests.ml.conftest import MakeScene


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service that has scenes, labels, a dataset and a model, on both databases."""
    return trained


@pytest.fixture
def http(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a server on `settings`."""
    with serving(settings) as client:
        yield client


def train(http: httpx.Client) -> str:
    body = {"dataset": DATASET, "register_as": "again", "config": TINY}
    return str(http.post("/v1/trainings", json=body).json()["id"])


def fail(services: Services, job: str) -> None:
    """Let a job fail as a worker does that cannot do it."""
    with services.database.write() as session:
        claim = claims.claim(session, job)
        assert claim is not None
        claims.log(session, claim, [(now(), "one line of the first attempt")])
        claims.fail(session, claim, problem("No good."))


def status(http: httpx.Client, job: str) -> str:
    return str(http.get(f"/v1/jobs/{job}").json()["status"])


def test_a_failed_job_is_done_again_and_remembers_its_attempts(
    http: httpx.Client, services: Services, do: Perform
) -> None:
    training = train(http)
    fail(services, training)
    key = {"Idempotency-Key": "again"}
    for _ in range(2):  # repeated, because the first answer was lost
        answer = http.post(f"/v1/jobs/{training}/retry", headers=key)
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"/v1/trainings/{training}"
        job = answer.json()
        assert (job["status"], job["attempt"], job["error"], job["finished"]) == ("accepted", 1, None, None)
    do(training)
    job = http.get(f"/v1/jobs/{training}").json()
    assert (job["status"], job["attempt"]) == ("successful", 2)
    assert [(end["attempt"], end["outcome"], end["detail"]) for end in job["attempts"]] == [
        (1, "failed", "No good."),
        (2, "successful", ""),
    ]
    log = http.get(f"/v1/jobs/{training}/log").text
    assert "attempt 1: one line of the first attempt" in log
    assert "attempt 1: tried again on request" in log
    assert "attempt 2: successful" in log
    assert http.get(f"/v1/trainings/{training}").json()["model"] == {"name": "again", "version": 1}
    refused = assert_problem(http.post(f"/v1/jobs/{training}/retry"), 409)
    assert refused["type"] == "job-successful"


def test_a_job_that_is_still_stopping_can_be_done_again_in_a_moment(http: httpx.Client, settings: Settings) -> None:
    training = train(http)
    with closing(Database(settings.database)) as database, database.write() as session:
        assert claims.claim(session, training)
    assert http.delete(f"/v1/jobs/{training}").status_code == 200
    answer = http.post(f"/v1/jobs/{training}/retry")
    refused = assert_problem(answer, 409)
    assert refused["type"] == "job-stopping" and "still stopping: try again in a moment" in refused["detail"]
    assert answer.headers["retry-after"] == "2"


def test_only_a_job_that_failed_or_was_dismissed_is_done_again(http: httpx.Client) -> None:
    training = train(http)
    assert_problem(http.post("/v1/jobs/trn_0/retry"), 404)
    refused = assert_problem(http.post(f"/v1/jobs/{training}/retry"), 409)
    assert (refused["type"], "dismiss it first" in refused["detail"]) == ("job-not-ended", True)
    http.delete(f"/v1/jobs/{training}")
    answers = [http.post(f"/v1/jobs/{training}/retry").status_code for _ in range(2)]
    assert answers == [201, 409]
    assert status(http, training) == "accepted"


def test_a_failed_dataset_needs_its_scenes_again(
    http: httpx.Client, do: Perform, services: Services, make_scene: MakeScene
) -> None:
    put(http, "/v1/scenes/x", make_scene(pixels(seed=9), "x.tif"))
    body = {"name": "y", "scenes": ["x", "s2"], "labels": ["truth"], "leaks": "allow"}
    dataset = make_dataset(
        http, lambda job: fail(services, job), **body, split={"by": "scene", "train": ["x"], "val": ["s2"]}
    )
    assert http.delete("/v1/scenes/x").status_code == 204
    refused = assert_problem(http.post(f"/v1/jobs/{dataset}/retry"), 409)
    assert (refused["type"], refused["errors"][0]["hint"]) == ("inputs-deleted", "Upload it again: PUT /v1/scenes/x")
    put(http, "/v1/scenes/x", make_scene(pixels(seed=9), "x.tif"))
    assert http.post(f"/v1/jobs/{dataset}/retry").status_code == 201
    assert_problem(http.delete("/v1/scenes/x"), 409)
    do(dataset)
    assert status(http, dataset) == "successful"


def test_an_experiment_is_done_again_without_what_has_succeeded(
    http: httpx.Client, do: Perform, services: Services
) -> None:
    body = {"dataset": DATASET, "config": TINY, "seeds": [0, 1, 2]}
    made = http.post("/v1/experiments", json=body | {"lovasz_weights": [0]}).json()
    first, second, third = [row["training"] for row in made["runs"]]
    do(first)
    fail(services, second)
    assert http.get(f"/v1/jobs/{made['id']}").json()["done"] == 2
    assert http.post(f"/v1/jobs/{second}/retry").status_code == 201, "while the experiment still waits"
    assert http.get(f"/v1/jobs/{made['id']}").json()["done"] == 1
    http.delete(f"/v1/jobs/{made['id']}")
    assert [status(http, id_) for id_ in (first, second, third)] == ["successful", "dismissed", "dismissed"]
    refused = assert_problem(http.post(f"/v1/jobs/{second}/retry"), 409)
    assert f"/v1/jobs/{made['id']}/retry" in refused["detail"]
    assert status(http, second) == "dismissed"
    assert http.post(f"/v1/jobs/{made['id']}/retry").json()["done"] == 1
    assert [status(http, id_) for id_ in (first, second, third)] == ["successful", "accepted", "accepted"]
    for id_ in (second, third, made["id"]):
        do(id_)
    assert http.get(f"/v1/experiments/{made['id']}").json()["table"][0]["runs"] == 3


@pytest.mark.parametrize("kept", [True, False])
def test_a_prediction_in_parts_is_done_again_with_the_parts_that_are_there(
    http: httpx.Client, do: Perform, services: Services, make_scene: MakeScene, kept: bool
) -> None:
    put(http, "/v1/scenes/tall", make_scene(pixels(seed=7, size=ROWS), "tall.tif"))
    prediction = http.post("/v1/predictions", json={"scene": "tall", "model": "cane:1", "parts": 3}).json()["id"]
    first, second, third = parts_of(http, prediction)
    do(first)
    fail(services, second)
    for id_ in (third, prediction):
        do(id_)
        assert status(http, id_) == "failed"
    if not kept:
        for key in list(services.store.keys("resume/")):
            services.store.delete(key)
    assert http.post(f"/v1/jobs/{prediction}/retry").status_code == 201
    left = parts_of(http, prediction)
    assert (first in left) == kept, "a part is done again if its file is gone"
    for id_ in left:
        if status(http, id_) == "accepted":
            do(id_)
    do(prediction)
    assert http.get(f"/v1/jobs/{prediction}").json()["status"] == "successful"
    assert http.get(f"/v1/predictions/{prediction}/classes.tif").status_code == 200
    assert not list(services.store.keys("resume/"))


def test_a_retry_and_a_deletion_at_once_leave_one_of_both(http: httpx.Client, services: Services) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            training = train(http)
            http.delete(f"/v1/jobs/{training}")
            again = partial(http.post, f"/v1/jobs/{training}/retry")
            retried, deleted = at_once(pool, again, partial(http.delete, f"/v1/trainings/{training}"))
            assert (retried, deleted) in ((201, 409), (404, 204), (409, 204)), "done again, or gone"
            assert (http.get(f"/v1/jobs/{training}").status_code == 200) == (retried == 201)
