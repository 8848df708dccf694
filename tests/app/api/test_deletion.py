"""Deleting: what still needs a resource is named, and goes with it only if that is asked for; on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, text

from app.core import tenancy
from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from app.tables import Dataset, DatasetScenes, Job, JobLog, Scene, ScheduleRun, SeriesRow
from tests.app.api.conftest import DATASET, TINY, Perform, make_dataset
from tests.app.api.test_models import bundle as bundle
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_races import at_once
from tests.waiting import eventually

VERSION = "/v1/models/cane/versions/1"


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service that has scenes, labels, a dataset, a model and a prediction, on both databases."""
    return trained


@pytest.fixture
def training(http: httpx.Client) -> str:
    """The id of the training of the model."""
    return str(http.get("/v1/trainings").json()["items"][0]["id"])


@pytest.fixture
def prediction(http: httpx.Client) -> str:
    """The id of the prediction of scene s1."""
    return str(http.get("/v1/predictions").json()["features"][0]["id"])


def going(http: httpx.Client, path: str) -> dict[str, set[str]]:
    """The ids by kind that a deletion with cascade would take along."""
    answer = http.delete(path, params={"cascade": True, "dry_run": True})
    assert answer.status_code == 200, answer.text
    found: dict[str, set[str]] = {}
    for item in answer.json()["items"]:
        found.setdefault(item["kind"], set()).add(item["id"])
        assert http.get(item["href"]).status_code == 200, item
    assert answer.json()["counts"] == {kind: len(ids) for kind, ids in found.items()}
    return found


def test_what_still_needs_a_resource_is_named_and_nothing_is_deleted(
    http: httpx.Client, training: str, prediction: str
) -> None:
    users = {
        "/v1/scenes/s1": {f"Dataset '{DATASET}' needs it.", f"Prediction '{prediction}' needs it."},
        "/v1/labels/truth": {f"Dataset '{DATASET}' needs it."},
        f"/v1/datasets/{DATASET}": {f"Training '{training}' needs it."},
        f"/v1/trainings/{training}": {"Model 'cane:1' needs it."},
        VERSION: {"Alias 'cane@champion' needs it.", f"Prediction '{prediction}' needs it."},
        "/v1/models/cane": {f"Prediction '{prediction}' needs it."},
    }
    for path, expected in users.items():
        for query in ({}, {"dry_run": True}):
            problem = assert_problem(http.delete(path, params=query), 409)
            assert {error["detail"] for error in problem["errors"]} == expected
            assert problem["type"].endswith("-in-use")
            assert "cascade" in problem["detail"]
        assert http.get(path).status_code == 200


def test_at_most_twenty_are_named_and_the_others_counted(http: httpx.Client) -> None:
    for _ in range(24):
        assert http.post("/v1/predictions", json={"scene": "s2", "model": "cane"}).status_code == 201
    problem = assert_problem(http.delete("/v1/models/cane"), 409)
    assert (len(problem["errors"]), problem["more"]) == (20, 5)


def test_a_cascade_says_what_goes_and_leaves_nothing_of_it(
    http: httpx.Client, services: Services, training: str, prediction: str
) -> None:
    assert going(http, f"/v1/datasets/{DATASET}") == {
        "dataset": {DATASET},
        "training": {training},
        "version": {"cane:1"},
        "alias": {"cane@champion"},
        "prediction": {prediction},
    }
    assert http.get(f"/v1/datasets/{DATASET}").status_code == 200, "a dry run deletes nothing"
    assert http.delete(f"/v1/datasets/{DATASET}", params={"cascade": True}).status_code == 204
    for path in (f"datasets/{DATASET}", f"trainings/{training}", "models/cane", f"predictions/{prediction}"):
        assert_problem(http.get(f"/v1/{path}"), 404)
        assert_problem(http.delete(f"/v1/{path}"), 404)
    assert {key.split("/")[0] for key in services.store.keys("")} == {"scenes", "labels"}
    with services.database.read() as session:
        left = [session.scalar(select(func.count()).select_from(table)) for table in (Job, JobLog, SeriesRow)]
        assert left == [0, 0, 0]
        assert not session.scalar(select(func.count()).select_from(DatasetScenes))
    for kind in ("datasets", "trainings", "models", "jobs"):
        assert http.get(f"/v1/{kind}").json()["items"] == []
    assert http.delete("/v1/scenes/s1").status_code == 204
    assert http.get("/v1/scenes/s2").status_code == 200


def test_a_number_is_never_given_to_another_version(http: httpx.Client, do: Perform, bundle: Path) -> None:
    assert http.delete(f"/v1/datasets/{DATASET}", params={"cascade": True}).status_code == 204
    assert make_dataset(http, do) == "gx:2"
    imported = http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    assert (imported.json()["version"], imported.json()["aliases"]) == (2, ["champion"])
    assert http.get("/v1/models").json()["items"][0]["aliases"] == {"champion": 2}
    moves = http.get("/v1/models/cane/aliases/champion").json()["history"]
    assert [move["version"] for move in moves] == [1, None, 2]


def test_a_version_that_an_alias_points_at_stays_also_in_a_cascade(
    http: httpx.Client, training: str, bundle: Path
) -> None:
    http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    for path in (VERSION, f"/v1/trainings/{training}", "/v1/scenes/s2"):
        problem = assert_problem(http.delete(path, params={"cascade": True}), 409)
        assert "cane@champion" in problem["detail"]
    http.put("/v1/models/cane/aliases/champion", json={"version": 2})
    assert_problem(http.delete(VERSION), 409)  # of the prediction
    assert http.delete(VERSION, params={"cascade": True}).status_code == 204
    assert [version["version"] for version in http.get("/v1/models/cane").json()["versions"]] == [2]
    assert http.get(f"/v1/trainings/{training}").json()["model"] is None
    assert http.delete("/v1/models/cane").status_code == 204
    assert_problem(http.get("/v1/models/cane/aliases/champion"), 404)


def test_work_that_has_not_ended_is_dismissed_first(http: httpx.Client, do: Perform, services: Services) -> None:
    waiting = http.post("/v1/trainings", json={"dataset": DATASET, "config": TINY}).json()["id"]
    for path in (f"/v1/trainings/{waiting}", "/v1/scenes/s3"):
        problem = assert_problem(http.delete(path, params={"cascade": True}), 409)
        assert problem["type"] == "job-running"
    http.delete(f"/v1/jobs/{waiting}")
    assert http.delete(f"/v1/trainings/{waiting}").status_code == 204
    assert_problem(http.get(f"/v1/jobs/{waiting}"), 404)


def test_an_experiment_goes_with_its_trainings(http: httpx.Client, do: Perform) -> None:
    body = {"dataset": DATASET, "config": TINY, "seeds": [0], "lovasz_weights": [0, 0.5], "register_as": "both"}
    made = http.post("/v1/experiments", json=body).json()
    runs = [row["training"] for row in made["runs"]]
    for id_ in (*runs, made["id"]):
        do(id_)
    problem = assert_problem(http.delete(f"/v1/experiments/{made['id']}"), 409)
    assert [error["detail"] for error in problem["errors"]] == ["Model 'both:1' needs it.", "Model 'both:2' needs it."]
    assert http.delete("/v1/models/both").status_code == 204
    problem = assert_problem(http.delete(f"/v1/trainings/{runs[0]}"), 409)
    assert [error["detail"] for error in problem["errors"]] == [f"Experiment '{made['id']}' needs it."]
    assert going(http, f"/v1/experiments/{made['id']}") == {"experiment": {made["id"]}, "training": set(runs)}
    assert http.delete(f"/v1/experiments/{made['id']}").status_code == 204
    assert all(http.get(f"/v1/jobs/{id_}").status_code == 404 for id_ in (*runs, made["id"]))


def test_a_prediction_in_parts_goes_with_its_parts(http: httpx.Client, do: Perform, services: Services) -> None:
    body = {"scene": "s2", "model": "cane:1", "parts": 1}
    whole = http.post("/v1/predictions", json=body).json()["id"]
    do(whole)
    assert http.delete(f"/v1/predictions/{whole}").status_code == 204
    assert not list(services.store.keys(f"predictions/{whole}/"))


def test_an_evaluation_that_a_run_of_a_schedule_waits_for_stays(
    http: httpx.Client, do: Perform, services: Services
) -> None:
    id_ = http.post(f"{VERSION}/evaluations", json={"dataset": DATASET, "split": "val"}).json()["id"]
    do(id_)
    http.post("/v1/schedules", json={"name": "n", "cron": "0 2 1 1 *", "training": {"dataset": DATASET}})
    with services.database.write() as session:
        run = ScheduleRun(id="run_1", schedule="n", due=datetime.now(UTC), trigger="cron", status="evaluating")
        session.add(run)
        run.evaluations = [id_]
    for query in ({}, {"cascade": True}):
        problem = assert_problem(http.delete(f"/v1/evaluations/{id_}", params=query), 409)
        assert "n/run_1" in problem["errors"][0]["detail"]
    with services.database.write() as session:
        session.get_one(ScheduleRun, "run_1").finished = datetime.now(UTC)
    assert http.delete(f"/v1/evaluations/{id_}").status_code == 204
    assert http.get("/v1/schedules/n/runs").json()["items"][0]["evaluations"] == [id_], "its history stays"


@pytest.mark.parametrize("named", [DATASET, "gx"])
def test_a_dataset_that_a_schedule_needs_goes_only_with_the_schedule(
    http: httpx.Client, do: Perform, named: str
) -> None:
    second = make_dataset(http, do)
    body = {"name": "n", "cron": "0 2 1 1 *", "training": {"dataset": named}}
    assert http.post("/v1/schedules", json=body).status_code == 201
    if named == "gx":
        assert http.delete(f"/v1/datasets/{second}").status_code == 204, "the schedule can use the other version"
    assert going(http, f"/v1/datasets/{DATASET}")["schedule"] == {"n"}
    assert http.delete(f"/v1/datasets/{DATASET}", params={"cascade": True}).status_code == 204
    assert_problem(http.get("/v1/schedules/n"), 404)


def test_nothing_is_deleted_by_a_name_that_may_move_or_under_another_kind(
    http: httpx.Client, training: str, prediction: str
) -> None:
    assert assert_problem(http.delete("/v1/datasets/gx"), 422)["errors"][0]["hint"].startswith("Name the version: gx:1")
    assert_problem(http.delete("/v1/models/cane/versions/@champion"), 422)
    for path in (f"trainings/{prediction}", f"predictions/{training}", f"experiments/{DATASET}", "models/other"):
        assert_problem(http.delete(f"/v1/{path}", params={"cascade": True}), 404)
    assert_problem(http.delete("/v1/models/cane/versions/7"), 404)
    assert http.get(f"/v1/predictions/{prediction}").status_code == 200


@pytest.mark.parametrize("what", ["training", "prediction", "evaluation"])
def test_what_a_job_needs_is_not_deleted_while_the_job_is_made(
    http: httpx.Client, services: Services, do: Perform, bundle: Path, what: str
) -> None:
    outcomes = set[bool]()
    with ThreadPoolExecutor(2) as pool:
        for number in range(15):
            if what == "training":
                needed = f"/v1/datasets/{make_dataset(http, do)}"
                path, body = "/v1/trainings", {"dataset": needed.rpartition("/")[2], "config": TINY}
            else:
                http.post(f"/v1/models/m{number}/versions", content=bundle.read_bytes())
                needed = f"/v1/models/m{number}"
                path, body = "/v1/predictions", {"scene": "s1", "model": f"m{number}:1"}
                if what == "evaluation":
                    path, body = f"{needed}/versions/1/evaluations", {"dataset": DATASET}
            post = partial(http.post, path, json=body)
            made, deleted = at_once(pool, post, partial(http.delete, needed))
            assert made in (201, 404, 409, 422)
            assert deleted in (204, 409)
            assert (made == 201) != (deleted == 204), "work without what it needs, or both refused"
            outcomes.add(made == 201)
            with services.database.read() as session:
                assert bool(session.scalar(select(func.count()).where(Job.status == "accepted"))) == (made == 201)
            with services.database.write() as session:
                for job in session.scalars(select(Job).where(Job.status == "accepted")):
                    lifecycle.dismiss(session, job.id)
    assert outcomes


def test_many_cascades_at_once_leave_all_or_nothing(http: httpx.Client) -> None:
    paths = ["/v1/scenes/s1", "/v1/labels/truth", f"/v1/datasets/{DATASET}", "/v1/models/cane"] * 2
    with ThreadPoolExecutor(len(paths)) as pool:
        statuses = at_once(pool, *[partial(http.delete, path, params={"cascade": True}) for path in paths])
    assert set(statuses) <= {204, 404, 409, 503}
    assert 204 in statuses
    assert_problem(http.get("/v1/models/cane"), 404)
    assert http.get("/v1/jobs").json()["items"] == [] or http.get(f"/v1/datasets/{DATASET}").status_code == 200


@pytest.mark.parametrize("trained", ["postgresql"], indirect=True)
def test_a_deletion_that_the_database_gives_up_for_another_change_can_be_sent_again(
    http: httpx.Client, services: Services
) -> None:
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")

    def someone_waits() -> bool:
        with services.database.read() as session:
            return session.scalar(waiting) is not None

    # as the user of the connection, who may set this and see what others wait for
    with tenancy.acting_for(tenancy.ALL), ThreadPoolExecutor(1) as pool, services.database.write() as session:
        session.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # so the database gives up the other one
        session.execute(select(Dataset.id).where(Dataset.id == DATASET).with_for_update())
        deletion = pool.submit(http.delete, "/v1/scenes/s1", params={"cascade": True})
        eventually(someone_waits)
        session.execute(select(Scene.id).where(Scene.id == "s1").with_for_update())
        answer = deletion.result()
    assert assert_problem(answer, 503)["type"] == "busy"
    assert int(answer.headers["retry-after"]) > 0
    assert http.delete("/v1/scenes/s1", params={"cascade": True}).status_code == 204
