"""Every error is a problem document without a stack trace, a path of the server or the values that were sent."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.app.api.conftest import SMALL, serving, serving_for_a_module


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of one server for all tests, since refused requests change nothing."""
    with serving_for_a_module(request, tmp_path_factory) as client:
        yield client


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert "Traceback" not in answer.text
    return body


def test_a_long_key_is_not_repeated_in_full(http: httpx.Client) -> None:
    answer = http.post("/v1/predictions", json={"k" * 1_000_000: 1})
    pointers = [fault["pointer"] for fault in assert_problem(answer, 422)["errors"]]
    assert f"/{'k' * 200}" in pointers
    assert len(answer.content) < 5000


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'"text"', b"[]", b"null", b"{}", b"1" * 5000]
)
def test_a_body_that_is_no_valid_request_is_refused(http: httpx.Client, content: bytes) -> None:
    answer = http.post("/v1/trainings", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert_problem(answer, answer.status_code)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/jsonx", ""])
def test_a_body_that_is_not_called_json_is_told_how(http: httpx.Client, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    (fault,) = assert_problem(http.post("/v1/trainings", content=b"{}", headers=headers), 422)["errors"]
    assert (fault["code"], fault["pointer"]) == ("invalid_content_type", "header:content-type")
    assert "Content-Type: application/json" in fault["hint"]


def test_a_request_without_a_body_is_told_so(http: httpx.Client) -> None:
    (fault,) = assert_problem(http.post("/v1/trainings"), 422)["errors"]
    assert "no body" in fault["detail"]
    assert fault["hint"]


def test_all_faults_are_named_at_once_with_their_pointers(http: httpx.Client) -> None:
    body = {"dataset": "x", "config": {"epochs": 0, "net": {"depth": 99}, "epocs": 3}, "colour": 1}
    problem = assert_problem(http.post("/v1/trainings", json=body), 422)
    pointers = {fault["pointer"] for fault in problem["errors"]}
    assert pointers == {"/config/epochs", "/config/net/depth", "/config/epocs", "/colour"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(http: httpx.Client, number: str) -> None:
    body = f'{{"dataset": "x", "config": {{"optimizer": {{"lr": {number}}}}}}}'
    answer = http.post("/v1/trainings", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422)


def test_problems_do_not_repeat_the_values_that_were_sent(http: httpx.Client) -> None:
    answer = http.post("/v1/trainings", json={"dataset": {"secret": "hunter2"}, "hunter3": 1})
    assert_problem(answer, 422)
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "a\x1bb"])
def test_characters_that_a_database_cannot_store_are_refused(http: httpx.Client, text: str) -> None:
    content = json.dumps({"dataset": text}).encode()
    answer = http.post("/v1/trainings", content=content, headers={"content-type": "application/json"})
    assert_problem(answer, 422)


@pytest.mark.parametrize("kind", ["scenes", "labels", "datasets", "trainings", "models", "predictions", "jobs"])
@pytest.mark.parametrize("name", ["nothing", "a%00b", "%ff", "a'--", "甘蔗"])
def test_an_unknown_resource_is_not_found_whatever_its_name(http: httpx.Client, kind: str, name: str) -> None:
    assert_problem(http.get(f"/v1/{kind}/{name}"), 404)


def test_a_wrong_method_and_a_wrong_path_are_problems_too(http: httpx.Client) -> None:
    assert_problem(http.put("/v1/jobs"), 405)
    assert_problem(http.get("/nowhere"), 404)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "token=forged", "colour=red"])
def test_bad_list_parameters_are_refused(http: httpx.Client, query: str) -> None:
    assert_problem(http.get(f"/v1/jobs?{query}"), 422)


def test_nothing_of_the_machine_is_told(settings_of_away: Settings) -> None:
    folder = settings_of_away.data_dir
    with serving(settings_of_away) as http:
        shutil.rmtree(folder / "store")
        (folder / "store").write_text("no folder")
        unready = http.get("/readyz")
        refused = http.put("/v1/scenes/s", content=b"x")
        for answer in unready, refused:
            assert answer.status_code >= 500
            assert str(folder) not in answer.text
            assert "incoming" not in answer.text


@pytest.fixture
def settings_of_away(migrated_sqlite: str, tmp_path: Path) -> Settings:
    """Settings of a service whose store is about to be lost."""
    url = f"sqlite:///{shutil.copyfile(migrated_sqlite.removeprefix('sqlite:///'), tmp_path / 'registry.sqlite')}"
    return Settings(data_dir=tmp_path / "secret-place", database_url=url).model_copy(update=SMALL)


def test_the_documentation_needs_no_other_host(http: httpx.Client) -> None:
    page = http.get("/docs").text
    assert "swagger" in page
    assert "https://" not in page
    assert http.get("/openapi.json").json()["info"]["title"] == "canemap"
    assert 'href="docs"' in http.get("/").text


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_time_outside_the_years_1_to_9999_in_utc_is_refused(http: httpx.Client, time: str) -> None:
    assert_problem(http.get("/v1/scenes", params={"datetime": time}), 422)
    assert_problem(http.get("/v1/predictions", params={"datetime": f"../{time}"}), 422)
    assert_problem(http.put("/v1/scenes/s", params={"acquired": time}, content=b"x"), 422)


def test_control_characters_in_a_query_or_a_form_are_refused(http: httpx.Client) -> None:
    nul = assert_problem(http.put("/v1/scenes/s", params={"sensor": "a\0b"}, content=b"x"), 422)
    assert nul["errors"][0]["pointer"] == "query:sensor"
    assert_problem(http.get("/v1/jobs", params={"status": "\0"}), 422)
    assert_problem(http.post("/v1/scenes", data={"id": "s", "sensor": "a\0b"}, files={"file": b"x"}), 422)


@pytest.mark.parametrize(
    "field", [{"sensor": "x" * 201}, {"acquired": "x" * 41}, {"bands": "x" * 2001}, {"nodata": "nan"}, {"nodata": "x"}]
)
def test_a_form_has_the_limits_of_a_query(http: httpx.Client, field: dict[str, str]) -> None:
    (name,) = field
    refused = assert_problem(http.post("/v1/scenes", data={"id": "s", **field}, files={"file": b"x"}), 422)
    assert refused["errors"][0]["pointer"] == f"/{name}"
    assert_problem(http.put("/v1/scenes/s", params=field, content=b"x"), 422)


@pytest.mark.parametrize("field", [{"class_field": "x" * 201}, {"classes": "1" * 20_001}, {"background": "1" * 5000}])
def test_a_form_of_labels_has_the_limits_of_a_query(http: httpx.Client, field: dict[str, str]) -> None:
    refused = assert_problem(http.post("/v1/labels", data={"id": "l", **field}, files={"file": b"x"}), 422)
    assert refused["errors"][0]["pointer"] == f"/{next(iter(field))}"
    assert_problem(http.put("/v1/labels/l", params=field, content=b"x"), 422)


def test_a_form_whose_announced_size_is_too_large_is_refused_without_being_read(http: httpx.Client) -> None:
    content = b"x" * (int(SMALL["upload_limit_bytes"]) + 1)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert_problem(http.post("/v1/scenes", headers=headers, content=content), 413)


@pytest.mark.parametrize("digest", ["garbage", "sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256=AAAA"])
def test_a_digest_that_cannot_be_checked_is_refused(http: httpx.Client, digest: str) -> None:
    refused = http.put("/v1/scenes/s", headers={"Content-Digest": digest}, content=b"x")
    assert assert_problem(refused, 422)["type"] == "digest-unreadable"


@pytest.mark.parametrize(
    ("body", "pointer", "hint"),
    [
        ({"limit": 0}, "query:limit", "Allowed: at least 1."),
        (
            {"name": "gx 2018"},
            "/name",
            "Allowed: 1 to 80 of the characters A-Z a-z 0-9 . _ -, the first of them no dot.",
        ),
        ({"scenes": []}, "/scenes", "Allowed: at least 1 of them."),
    ],
)
def test_a_bound_is_said_in_words(http: httpx.Client, body: dict[str, Any], pointer: str, hint: str) -> None:
    answer = http.get("/v1/jobs", params=body) if "limit" in body else http.post("/v1/datasets", json=body)
    (fault,) = [fault for fault in assert_problem(answer, 422)["errors"] if fault["pointer"] == pointer]
    assert fault["hint"] == hint
    assert "Tuple" not in fault["detail"]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("scenes/nosuch", "scene"),
        ("scenes/nosuch/data", "scene"),
        ("labels/nosuch", "label set"),
        ("datasets/nosuch", "dataset"),
        ("datasets/nosuch:1", "dataset"),
        ("datasets/nosuch/figures", "dataset"),
        ("trainings/nosuch", "training"),
        ("trainings/nosuch/series", "training"),
        ("trainings/nosuch/figures", "training"),
        ("experiments/nosuch", "experiment"),
        ("experiments/nosuch?f=csv", "experiment"),
        ("experiments/nosuch/figures", "experiment"),
        ("evaluations/nosuch", "evaluation"),
        ("samples/nosuch", "sample"),
        ("samples/nosuch/points", "sample"),
        ("samples/nosuch/answers", "sample"),
        ("samples/nosuch/estimates", "sample"),
        ("surveys/nosuch", "survey"),
        ("surveys/nosuch/scenes", "survey"),
        ("surveys/nosuch/areas", "survey"),
        ("surveys/nosuch/areas?zones=nosuch", "survey"),
        ("surveys/nosuch/compare?with=nosuch", "survey"),
        ("surveys/nosuch/mosaic.tif", "survey"),
        ("predictions/nosuch", "prediction"),
        ("predictions/nosuch/areas", "prediction"),
        ("predictions/nosuch/classes.tif", "prediction"),
        ("predictions/nosuch/tilejson.json", "prediction"),
        ("predictions/nosuch/preview.png", "prediction"),
        ("predictions/nosuch/tiles/WebMercatorQuad/0/0/0.png", "prediction"),
        ("models/nosuch", "model"),
        ("models/nosuch/versions/1", "model"),
        ("models/nosuch/aliases/best", "alias"),
        ("models/nosuch/versions/1/bundle", "model"),
        ("models/nosuch/versions/@champion/onnx", "model"),
        ("schedules/nosuch", "schedule"),
        ("schedules/nosuch/runs", "schedule"),
        ("jobs/nosuch", "job"),
        ("jobs/nosuch/log", "job"),
        ("jobs/nosuch/results", "job"),
        ("jobs/nosuch/events", "job"),
    ],
)
def test_what_is_not_there_is_called_what_it_would_be(http: httpx.Client, path: str, word: str) -> None:
    assert assert_problem(http.get(f"/v1/{path}"), 404)["detail"].startswith(f"There is no {word} 'nosuch")
