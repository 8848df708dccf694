"""Evaluations of versions on splits, with a real training, on both databases."""

import httpx
import pytest

from tests.app.api.conftest import DATASET, Perform, make_dataset
from tests.app.api.conftest import trained as settings

__all__ = ["settings"]
URL = "/v1/models/cane/versions/@champion/evaluations"


@pytest.fixture
def trained(http: httpx.Client) -> str:
    """The dataset that cane was trained on. The model also gets a version 2, imported from the bundle of version 1."""
    bundle = http.get("/v1/models/cane/versions/1/bundle").content
    assert http.post("/v1/models/cane/versions", content=bundle).status_code == 201
    return DATASET


def test_an_evaluation_gives_the_same_metrics_as_the_training_on_its_splits(
    http: httpx.Client, trained: str, do: Perform
) -> None:
    version = http.get("/v1/models/cane/versions/1").json()
    for split in ("val", "test"):
        body = {"dataset": trained, "split": split}
        answer = http.post("/v1/models/cane/versions/2/evaluations", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["metrics"] is None
        do(answer.json()["id"])
        document = http.get(answer.headers["location"]).json()
        assert document["job"]["status"] == "successful", document["job"]
        assert document["metrics"] == version["metrics"][split], "the same code, so the same to the last digit"
        assert document["details"] == version["details"][split]
        of_training = {**document["software"], "ranks": "1"}
        assert version["software"] == of_training, "an evaluation computes as a training does at its end"
        assert {"engine", "precision", "device", "threads", "cpu"} <= of_training.keys()
        assert (document["model"], document["split"]) == ({"name": "cane", "version": 2}, split)
    listed = http.get("/v1/models/cane/versions/2/evaluations", params={"limit": 1}).json()
    assert [item["split"] for item in listed["items"]] == ["test"]
    rest = http.get("/v1/models/cane/versions/2/evaluations", params={"token": listed["next"]}).json()
    assert [item["split"] for item in rest["items"]] == ["val"]
    assert http.get(URL).json() == {"items": [], "next": None}
    assert http.get("/v1/jobs", params={"processID": "evaluation"}).json()["items"][0]["status"] == "successful"


def test_a_dataset_that_does_not_fit_the_model_is_refused_with_all_faults(
    http: httpx.Client, trained: str, do: Perform
) -> None:
    split = {"by": "scene", "train": ["s1"], "val": ["s2", "s3"]}
    classes = [{"value": 0, "name": "other"}, {"value": 1, "name": "rice"}]
    other = make_dataset(http, do, split=split, classes=classes)
    answer = http.post(URL, json={"dataset": other})
    assert answer.status_code == 422
    assert answer.json()["type"] == "contract-mismatch"
    faults = {(fault["code"], fault["pointer"]) for fault in answer.json()["errors"]}
    assert faults == {("classes_differ", "/dataset"), ("empty_split", "/split")}
    alike = [{"value": 0, "name": "Other"}, {"value": 1, "name": "sugar\u200bcane"}]
    same = make_dataset(http, do, split=split, classes=alike)
    answer = http.post(URL, json={"dataset": same})
    assert {fault["code"] for fault in answer.json()["errors"]} == {"empty_split"}


def test_unknown_models_datasets_and_splits_are_refused(http: httpx.Client, trained: str) -> None:
    assert http.post("/v1/models/rice/versions/1/evaluations", json={"dataset": trained}).status_code == 404
    assert http.post(URL, json={"dataset": "nothing"}).json()["errors"][0]["code"] == "unknown_dataset"
    assert http.post(URL, json={"dataset": trained, "split": "all"}).status_code == 422
    assert http.get("/v1/evaluations/evl_1").status_code == 404


def test_the_same_request_twice_makes_one_evaluation(http: httpx.Client, trained: str) -> None:
    headers = {"Idempotency-Key": "one"}
    ids = {http.post(URL, json={"dataset": trained}, headers=headers).json()["id"] for _ in range(2)}
    assert len(ids) == 1
