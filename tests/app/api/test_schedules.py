"""/v1/schedules with real trainings, whose runs a running server decides, on both databases."""

import time
from typing import Any

import httpx
import pytest

from app.client import CanemapError, Client
from app.settings import Settings
from tests.app.api.conftest import TINY, Perform, make_dataset
from tests.app.api.test_problems import assert_problem

TRAINING = {"dataset": "gx", "register_as": "cane", "config": TINY}
BODY = {"name": "monthly", "cron": "0 2 1 * *", "timezone": "Asia/Shanghai", "training": TRAINING}
URL = "/v1/schedules/monthly"


@pytest.fixture
def settings(prepared: Settings) -> Settings:
    """A service that has a dataset, on both databases, and looks often for runs that can go on."""
    return prepared.model_copy(update={"sweep_s": 0.2})


def eventually(http: httpx.Client, run: str, *statuses: str) -> dict[str, Any]:
    """The document of a run as soon as it has one of the statuses, within a minute."""
    deadline = time.monotonic() + 60
    while True:
        document: dict[str, Any] = http.get(f"{URL}/runs/{run}").json()
        if document["status"] in statuses:
            return document
        assert time.monotonic() < deadline, document
        time.sleep(0.05)


def test_the_present_version_is_scored_on_the_new_test_split_before_the_verdict(
    http: httpx.Client, do: Perform
) -> None:
    with Client(str(http.base_url)) as client:
        gate = {"min_gain": -1, "guards": {"accuracy": -1}}
        made = client.create_schedule("monthly", cron="0 2 1 * *", training=TRAINING, promote=gate)
        assert made["promote"]["metric"] == "iou"
        first = client.run_schedule("monthly")
        do(first["training"])
        run = eventually(http, first["id"], "promoted")
        assert (run["model"], run["verdict"]["champion"]) == ({"name": "cane", "version": 1}, None)

        split = {"by": "scene", "train": ["s3"], "val": ["s2"], "test": ["s1"]}
        assert make_dataset(http, do, split=split) == "gx:2"
        second = client.run_schedule("monthly")
        with pytest.raises(CanemapError, match="has not ended"):
            client.run_schedule("monthly")
        do(second["training"])
        (evaluation,) = eventually(http, second["id"], "evaluating")["evaluations"]
        do(evaluation)
        verdict = eventually(http, second["id"], "promoted")["verdict"]
        scored = client.get(f"/v1/evaluations/{evaluation}")
        assert (scored["dataset"], scored["split"], scored["model"]["version"]) == ("gx:2", "test", 1)
        assert verdict["champion"] == {"version": 1, "metrics": scored["metrics"]}
        assert verdict["candidate"]["metrics"] == client.model_version("cane", 2)["metrics"]["test"]
        assert [check["rule"] for check in verdict["checks"]] == ["gain", "guard"]
        assert client.model_version("cane")["version"] == 2
        history = client.get("/v1/models/cane/aliases/champion")["history"]
        assert history[-1]["reason"].startswith("schedule monthly: iou")
        assert [run["id"] for run in client.schedule_runs("monthly")] == [second["id"], first["id"]]


def test_a_present_version_that_cannot_be_compared_keeps_the_alias(http: httpx.Client, do: Perform) -> None:
    http.post("/v1/schedules", json=BODY | {"promote": {"min_gain": -1}})
    first = http.post(f"{URL}/run").json()
    do(first["training"])
    eventually(http, first["id"], "promoted")
    make_dataset(http, do, classes=[{"value": 0, "name": "other"}, {"value": 1, "name": "rice"}])
    second = http.post(f"{URL}/run").json()
    do(second["training"])
    run = eventually(http, second["id"], "kept")
    assert run["error"]["errors"][0]["code"] == "classes_differ"
    assert http.get("/v1/models/cane").json()["aliases"] == {"champion": 1}


def test_a_schedule_can_be_made_listed_changed_and_removed(http: httpx.Client) -> None:
    made = http.post("/v1/schedules", json=BODY, headers={"Idempotency-Key": "one"})
    assert (made.status_code, made.headers["location"]) == (201, URL)
    assert http.post("/v1/schedules", json=BODY, headers={"Idempotency-Key": "one"}).json()["id"] == "monthly"
    assert http.post("/v1/schedules", json=BODY).status_code == 409
    document = made.json()
    assert document["next_local"].endswith("-01T02:00:00+08:00")
    assert (document["promote"], document["enabled"]) == (None, True)
    http.post("/v1/schedules", json=BODY | {"name": "other"})
    page = http.get("/v1/schedules", params={"limit": 1}).json()
    rest = http.get("/v1/schedules", params={"token": page["next"]}).json()
    assert [row["name"] for row in (*page["items"], *rest["items"])] == ["other", "monthly"]

    old = {"If-Match": made.headers["etag"]}
    changed = http.patch(URL, json={"enabled": False}, headers=old)
    assert (changed.status_code, changed.json()["next"]) == (200, None)
    assert http.patch(URL, json={"enabled": True}, headers=old).status_code == 412
    assert http.delete(URL, headers=old).status_code == 412
    assert http.delete(URL, headers={"If-Match": changed.headers["etag"]}).status_code == 204
    assert [http.get(path).status_code for path in (URL, f"{URL}/runs", f"{URL}/runs/run_1")] == [404] * 3
    assert http.post(f"{URL}/run").status_code == 404


def test_an_old_key_does_not_answer_with_a_schedule_that_was_made_anew(http: httpx.Client) -> None:
    first, second = ({"Idempotency-Key": key} for key in ("first", "second"))
    assert http.post("/v1/schedules", json=BODY, headers=first).status_code == 201
    assert http.delete(URL).status_code == 204
    for _ in range(2):
        gone = assert_problem(http.post("/v1/schedules", json=BODY, headers=first), 409)
        assert gone["type"] == "deleted-since" and "use a new Idempotency-Key" in gone["detail"]
        made = http.post("/v1/schedules", json=BODY, headers=second)
        assert (made.status_code, made.json()["id"]) == (201, "monthly")


def test_all_faults_of_a_schedule_are_named_at_once(http: httpx.Client, do: Perform) -> None:
    def faults(**changes: object) -> set[tuple[str, str]]:
        answer = http.post("/v1/schedules", json=BODY | changes)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        return {(fault["code"], fault["pointer"]) for fault in answer.json()["errors"]}

    bad = {"cron": "0 25 * * *", "timezone": "Mars/Olympus", "training": {"dataset": "nothing"}}
    assert faults(**bad) == {
        ("bad_cron", "/cron"),
        ("unknown_timezone", "/timezone"),
        ("unknown_dataset", "/training/dataset"),
    }
    typos = {"promote": {"metric": "loss", "guard": {}, "guards": {"loss": 0}}, "corn": "x"}
    assert {pointer for _, pointer in faults(**typos)} >= {"/promote/metric", "/promote/guard", "/corn"}
    make_dataset(http, do, split={"by": "scene", "train": ["s1"], "val": ["s2", "s3"]})
    assert faults(promote={}) == {("no_test_split", "/promote/split")}
    http.post("/v1/schedules", json=BODY)
    assert http.patch(URL, json={"cron": "x"}).json()["errors"][0]["pointer"] == "/cron"
