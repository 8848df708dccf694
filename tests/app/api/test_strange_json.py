"""JSON bodies of strangers: too many values, too deep, too large numbers, and texts that no database can hold."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.api.conftest import serving_for_a_module
from tests.app.api.test_problems import assert_problem
from tests.waiting import slowdown

JSON = {"content-type": "application/json"}
SPLIT = {"by": "scene", "train": ["s1"], "val": ["s2"]}
SECONDS = 2.0  # of the processor, in this process; generous: each takes about a tenth


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of one server for all tests, since refused requests change nothing."""
    with serving_for_a_module(request, tmp_path_factory) as client:
        yield client


def post(http: httpx.Client, content: bytes | str, path: str = "/v1/datasets") -> httpx.Response:
    return http.post(path, content=content, headers=JSON)


@pytest.mark.parametrize(
    "changes",
    [
        {"scenes": [1] * 9000},
        {"scenes": [f"s{i}" for i in range(9000)]},
        {"labels": [""] * 900},
        {"split": SPLIT | {"train": [1] * 9000, "val": [None] * 9000, "test": [{}] * 9000}},
        {f"k{i}": 1 for i in range(40_000)},
        {"split": SPLIT | {f"k{i}": 1 for i in range(40_000)}},
        {"classes": [{"value": -1, "name": ""}] * 255},
    ],
    ids=["wrong scenes", "unknown scenes", "wrong labels", "wrong split", "keys", "inner keys", "classes"],
)
def test_twenty_faults_are_told_and_all_others_are_counted(http: httpx.Client, changes: dict[str, Any]) -> None:
    body = {"name": "x", "scenes": ["s1", "s2"], "labels": ["l"], "split": SPLIT} | changes
    began = time.process_time()
    answer = post(http, json.dumps(body))
    assert time.process_time() - began < SECONDS
    problem = assert_problem(answer, 422)
    assert len(problem["errors"]) == 20
    assert problem["more"] > 200
    assert problem["detail"].endswith(f"; and {problem['more']} more")
    assert len(answer.content) < 20_000


def test_exactly_twenty_faults_have_no_count(http: httpx.Client) -> None:
    problem = assert_problem(post(http, json.dumps({f"k{i}": 1 for i in range(16)})), 422)
    assert len(problem["errors"]) == 20, "and the four fields that are missing"
    assert "more" not in problem


@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/trainings", "/v1/experiments", "/v1/schedules"])
@pytest.mark.parametrize("content", [b'{"scenes":[' + b"1," * 4_000_000 + b"1]}", b"[" * 8_000_000, b"{" * 8_000_000])
def test_a_body_of_millions_of_values_is_refused_unread(http: httpx.Client, path: str, content: bytes) -> None:
    began = time.process_time()
    assert assert_problem(post(http, content, path), 422)["type"] == "too-many-values"
    assert time.process_time() - began < SECONDS


def test_other_requests_are_answered_while_large_bodies_are_checked(http: httpx.Client) -> None:
    body, stop, waits = json.dumps({f"k{i}": 1 for i in range(49_000)}), threading.Event(), list[float]()

    def refuse() -> None:
        with httpx.Client(base_url=http.base_url, timeout=60) as client:
            while not stop.is_set():
                post(client, body)

    senders = [threading.Thread(target=refuse) for _ in range(2)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(20):
            began = time.monotonic()
            assert http.get("/healthz").status_code == 200
            waits.append(time.monotonic() - began)
    finally:
        stop.set()
        for sender in senders:
            sender.join()
    assert max(waits) < SECONDS * slowdown()


@pytest.mark.parametrize("depth", [33, 500, 20_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_deep_body_is_refused(http: httpx.Client, opening: str, depth: int) -> None:
    deep = opening * depth + "1" + {"[": "]", '{"a":': "}"}[opening] * depth
    answer = post(http, f'{{"dataset": "x", "config": {deep}, "variants": [{{"name": "a"}}]}}', "/v1/experiments")
    assert answer.status_code in (400, 422)
    assert_problem(answer, answer.status_code)


@pytest.mark.parametrize("number", [str(10**30), str(-(10**30)), "9" * 4000, "1e400", "NaN", "-Infinity"])
def test_no_number_is_too_large_for_the_service(http: httpx.Client, number: str) -> None:
    for path, body in [
        ("/v1/trainings", '{"dataset": "x", "config": {"steps_per_epoch": N}}'),
        ("/v1/trainings", '{"dataset": "x", "config": {"loss": {"ce": N}}}'),
        ("/v1/experiments", '{"dataset": "x", "lovasz_weights": [0], "seeds": [0, N]}'),
        ("/v1/experiments", '{"dataset": "x", "lovasz_weights": [N]}'),
        ("/v1/experiments", '{"dataset": "x", "config": {"epochs": N}, "variants": [{"name": "a"}]}'),
        ("/v1/predictions", '{"scene": "s", "model": "m", "config": {"stripe_px": N}}'),
    ]:
        assert_problem(post(http, body.replace("N", number), path), 422)


@pytest.mark.parametrize("path", ["/v1/jobs/x/events", "/v1/predictions/x/tiles/WebMercatorQuad/{n}/0/0.png"])
def test_a_large_number_in_a_path_or_a_header_is_a_problem(http: httpx.Client, path: str) -> None:
    for number in (str(10**30), "9" * 5000):
        answer = http.get(path.replace("{n}", number), headers={"Last-Event-ID": number})
        assert answer.status_code in (404, 422)


def test_a_key_that_stands_twice_is_refused(http: httpx.Client) -> None:
    for body in ('{"dataset": "a", "dataset": "b"}', '{"dataset": "a", "config": {"seed": 1, "seed": 2}}'):
        assert_problem(post(http, body, "/v1/trainings"), 400)
    query = {"classes": '{"cane": 1, "cane": 0}'}
    assert_problem(http.put("/v1/labels/l", params=query, content=b"x"), 422)


BAD = ["a\0b", "a\ud800b", "a\x1bb", "a\x0bb", "\ufffe"]
PLACES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/datasets", {"name": "x", "scenes": ["BAD"], "labels": ["l"], "split": SPLIT}),
    ("POST", "/v1/datasets", {"name": "x", "scenes": ["s"], "labels": ["l"], "split": SPLIT | {"train": ["BAD"]}}),
    ("POST", "/v1/datasets", {"name": "x", "scenes": ["s"], "classes": [{"value": 0, "name": "BAD"}]}),
    ("POST", "/v1/trainings", {"dataset": "x", "config": {"hard_negatives": ["BAD"]}}),
    ("POST", "/v1/trainings", {"dataset": "x", "config": {"BAD": 1}}),
    ("POST", "/v1/trainings", {"BAD": {"BAD": "BAD"}}),
    ("POST", "/v1/experiments", {"dataset": "x", "variants": [{"name": "BAD", "config": {}}]}),
    ("POST", "/v1/experiments", {"dataset": "x", "config": {"device": "BAD"}, "variants": [{"name": "v"}]}),
    ("POST", "/v1/experiments", {"dataset": "x", "variants": [{"name": "v", "config": {"a": [{"BAD": "BAD"}]}}]}),
    ("POST", "/v1/predictions", {"scene": "BAD", "model": "BAD"}),
    ("POST", "/v1/schedules", {"name": "n", "cron": "BAD", "training": {"dataset": "x"}}),
    ("PATCH", "/v1/scenes/s", {"sensor": "BAD"}),
    ("PATCH", "/v1/schedules/s", {"timezone": "BAD"}),
    ("PUT", "/v1/models/m/aliases/a", {"version": 1, "reason": "BAD"}),
    ("POST", "/v1/models/m/versions/1/evaluations", {"dataset": "BAD"}),
]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("method", "path", "body"), PLACES)
def test_a_control_character_is_refused_wherever_it_stands(
    http: httpx.Client, method: str, path: str, body: Any, bad: str
) -> None:
    content = json.dumps(body).replace("BAD", json.dumps(bad)[1:-1])
    problem = assert_problem(http.request(method, path, content=content, headers=JSON), 422)
    assert any(fault["code"] == "invalid_text" for fault in problem["errors"])


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "\ufffe"])
def test_control_characters_outside_of_bodies_are_refused(http: httpx.Client, bad: str) -> None:
    assert_problem(http.get("/v1/jobs", params={bad: "x"}), 422)
    assert_problem(http.put("/v1/labels/l", params={"classes": json.dumps({bad: 1})}, content=b"x"), 422)
    assert_problem(http.post("/v1/scenes", data={"id": "s", bad: "x"}, files={"file": b"x"}), 422)
    assert_problem(http.post("/v1/scenes", data={"id": bad}, files={"file": b"x"}), 422)
    for path in ("/v1/schedules/n/runs/BAD", "/v1/models/m/versions/BAD", "/v1/models/m/aliases/BAD", "/v1/jobs/BAD"):
        assert_problem(http.get(path.replace("BAD", "a%00b")), 404)


def test_a_layer_with_control_characters_in_its_classes_is_refused(http: httpx.Client, tmp_path: Path) -> None:
    ring = [[105.0, 20.0], [105.01, 20.0], [105.01, 20.01], [105.0, 20.0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    for text in ("a\0b", "\ud800", "a\x0bb"):
        feature = {"type": "Feature", "properties": {"crop": text}, "geometry": geometry}
        layer = json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()
        query = {"class_field": "crop", "classes": '{"*": 1}'}
        assert_problem(http.put("/v1/labels/l", params=query, content=layer), 422)


def test_a_sensor_is_as_long_in_a_patch_as_in_an_upload(http: httpx.Client) -> None:
    assert_problem(http.patch("/v1/scenes/s", json={"sensor": "x" * 201}), 422)
