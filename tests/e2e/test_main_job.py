"""From an upload through a training and a prediction to hectares, with the Python client, on both stacks."""

import json
import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.client import CanemapError, Client, JobDismissed, Json
from ml.geo.raster import open_raster
from ml.synthetic import SyntheticScene
from tests.app.operations.test_supervise import lives
from tests.collector import Collector
from tests.e2e.conftest import SIZE_PX, TINY, Stack, up
from tests.waiting import eventually, slowdown

World = dict[str, SyntheticScene]


def test_scenes_and_labels_lead_to_hectares(client: Client, dataset: str, world: World, tmp_path: Path) -> None:
    shown: list[Json] = []
    training = client.train(dataset, register_as="main", config=TINY).wait(progress=shown.append, timeout_s=120)
    assert training.document["model"] == {"name": "main", "version": 1}
    assert [row["epoch"] for row in training.series()] == [1, 2, 3]
    assert {"loss", "loss_ce", "loss_lovasz_hinge", "val_accuracy", "val_iou", "val_kappa"} <= training.series()[
        0
    ].keys()
    assert shown[-1]["progress"] == 100
    metrics = training.model["metrics"]["test"]
    assert 0 <= metrics["accuracy"] <= 1
    assert sum(map(sum, metrics["confusion"])) > 0
    assert "epoch 3" in client.log(training.id)

    prediction = client.predict("unseen", model="main@champion").wait(timeout_s=120)
    files = {path.name for path in prediction.download(tmp_path)}
    assert files == {"classes.tif", "probability.tif", "polygons.geojson", "polygons.gpkg", "classes.qml", "web.tif"}
    with open_raster(tmp_path / "classes.tif") as made, open_raster(world["unseen"].image) as scene:
        assert (made.crs, made.transform, made.shape) == (scene.crs, scene.transform, scene.shape)
    (row,) = prediction.areas()
    assert row["observed_ha"] == pytest.approx((SIZE_PX * 0.8) ** 2 / 10_000, rel=2e-3)
    assert 0 <= row["mapped_ha"] <= row["observed_ha"]
    assert row["ci95_ha"][0] <= row["adjusted_ha"] <= row["ci95_ha"][1]

    second = client.train(dataset, register_as="main", config=TINY | {"seed": 1}).wait(timeout_s=120)
    assert second.model["aliases"] == []
    assert (second.reference, second.document["champion"], training.refresh().document["champion"]) == ("main:2", 1, 1)
    assert client.promote("main", 2, reason="another seed")["version"] == 2
    with pytest.raises(CanemapError, match="is needed by"):
        client._send("DELETE", "/v1/scenes/unseen")


@pytest.mark.parametrize("stack", ["embedded"], indirect=True)  # test_experiments dismisses trainings on the other
def test_dismissing_a_running_training_stops_the_work(client: Client, stack: Stack, dataset: str) -> None:
    long = client.train(dataset, register_as="never", config=TINY | {"epochs": 10_000})
    eventually(lambda: client.job(long.id)["done"] > 0)
    long.dismiss()
    with pytest.raises(JobDismissed):
        long.wait(timeout_s=120)
    done = client.job(long.id)["done"]
    time.sleep(2)
    assert client.job(long.id)["done"] == done
    assert not list((stack.folder / "data" / "scratch").iterdir())
    assert "never" not in {model["name"] for model in client.models()}
    # the worker is free for the next training
    client.train(dataset, register_as="next", config=TINY | {"epochs": 1}).wait(timeout_s=120)


@pytest.mark.parametrize("stack", ["embedded"], indirect=True)  # both stacks write the same log
def test_the_log_shows_a_job_from_its_request_to_its_end(stack: Stack, dataset: str) -> None:
    body = {"dataset": dataset, "register_as": "followed", "config": TINY | {"epochs": 1}}
    with httpx.Client(base_url=stack.url) as http:
        answer = http.post("/v1/trainings", json=body)
        request, job = answer.headers["x-request-id"], answer.json()["id"]
        eventually(lambda: http.get(f"/v1/jobs/{job}").json()["status"] == "successful")

    def lines() -> list[Json]:
        return [json.loads(line) for line in (stack.folder / "log").read_text().splitlines() if line.startswith("{")]

    eventually(lambda: any(line["event"] == "successful" and line.get("job") == job for line in lines()))
    of_request = {line["event"]: line for line in lines() if line.get("request") == request}
    assert of_request["creating a job"]["job"] == job
    assert of_request["request"]["status"] == 201
    of_job = {line["event"]: line for line in lines() if line.get("job") == job}
    assert (of_job["claimed"]["attempt"], of_job["successful"]["attempt"]) == (1, 1)
    assert {line["level"] for line in of_job.values()} == {"info"}


@pytest.mark.parametrize("stack", ["embedded"], indirect=True)  # only this one sends its traces
def test_one_trace_leads_from_a_client_to_the_stages_of_its_job(
    stack: Stack, dataset: str, collector: Collector
) -> None:
    trace, client = os.urandom(16), os.urandom(8)
    secret = f"cm_0123abcd_{'k' * 32}"
    body = {"dataset": dataset, "register_as": "traced", "config": TINY | {"epochs": 1}}
    headers = {"traceparent": f"00-{trace.hex()}-{client.hex()}-01"}
    with httpx.Client(base_url=stack.url) as http:
        http.get(f"/v1/jobs/{secret}?key={secret}", headers=headers)
        job = http.post("/v1/trainings", json=body, headers=headers).json()["id"]
        ends = {"training", "POST /v1/trainings", "GET /v1/jobs/{id}"}
        eventually(lambda: ends <= {span.name for _, span in collector.trace(trace)})
    spans = collector.trace(trace)
    requests = {span.name: span for _, span in spans if span.parent_span_id == client}
    assert requests.keys() == {"POST /v1/trainings", "GET /v1/jobs/{id}"}
    (attempt,) = [span for _, span in spans if span.kind == Span.SPAN_KIND_CONSUMER]
    assert attempt.parent_span_id in {span.span_id for service, span in spans if service == "canemap-api"}
    told = {item.key: item.value for item in attempt.attributes}
    assert (told["canemap.job.id"].string_value, told["canemap.job.status"].string_value) == (job, "successful")
    stages = [span for service, span in spans if span.parent_span_id == attempt.span_id]
    assert [span.name for span in stages] == ["decode", "train"]
    assert all(attempt.start_time_unix_nano <= span.start_time_unix_nano for span in stages)
    assert b"kkkk" not in b"".join(span.SerializeToString() for _, span in spans)


def test_a_training_whose_worker_is_killed_ends_with_the_same_weights(
    client: Client, stack: Stack, dataset: str, tmp_path: Path
) -> None:
    config = TINY | {"epochs": 12}
    undisturbed = client.train(dataset, register_as="calm", config=config).wait(timeout_s=120)
    training = client.train(dataset, register_as="storm", config=config)
    eventually(lambda: len(training.series()) >= 2)
    os.kill(stack.worker("training"), signal.SIGKILL)
    eventually(lambda: client.job(training.id)["status"] == "accepted")
    lost = client.job(training.id)
    assert lost["message"].startswith(
        "worker lost: its process sent no heartbeat any more (failure 1 of 3); tried again"
    )
    training.wait(timeout_s=120)
    job = client.job(training.id)
    assert [(end["attempt"], end["outcome"]) for end in job["attempts"]] == [(1, "worker-lost"), (2, "successful")]
    assert (job["attempt"], job["next_attempt"]) == (2, None)
    assert f"attempt 1: {lost['message']}" in client.log(training.id)
    assert [row["epoch"] for row in training.series()] == list(range(1, 13))
    assert training.model["metrics"] == undisturbed.model["metrics"]
    weights = [client.export_model(name, tmp_path / name).read_bytes() for name in ("calm", "storm")]
    assert weights[0] == weights[1]


def test_a_worker_that_gets_sigterm_gives_its_training_back(client: Client, stack: Stack, dataset: str) -> None:
    training = client.train(dataset, register_as="given-back", config=TINY | {"epochs": 20})
    eventually(lambda: len(training.series()) >= 1)
    worker = stack.worker("training")
    os.kill(worker, signal.SIGTERM)
    eventually(lambda: not lives(worker), 20 * slowdown())
    training.wait(timeout_s=120)
    assert client.job(training.id)["attempt"] == 2
    assert "given back" in client.log(training.id)


def test_no_process_is_left_when_the_service_is_killed(tmp_path: Path) -> None:
    with up(tmp_path) as stack:
        children = stack.children()
        assert len(children) == 3
        stack.process.kill()
        stack.process.wait()
        eventually(lambda: not any(lives(pid) for pid in children), 40)
