"""Every error is a problem document: no stack trace, no path, no echo."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import httpx
import pytest

from app.db import migrate
from app.settings import Settings
from tests import servers
from tests.app.api.conftest import SMALL, serving


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One server for all: what is refused changes nothing."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    with servers.database(server) if server else nullcontext("") as url:
        settings = Settings(data_dir=tmp_path_factory.mktemp("data"), database_url=url).model_copy(update=SMALL)
        migrate(settings)
        with serving(settings) as client:
            yield client


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert "Traceback" not in answer.text
    return body


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'"text"', b"[]", b"null", b"{}", b"1" * 5000]
)
def test_a_body_that_is_no_request_is_refused(http: httpx.Client, content: bytes) -> None:
    answer = http.post("/v1/trainings", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert_problem(answer, answer.status_code)


def test_all_faults_are_named_at_once_with_their_place(http: httpx.Client) -> None:
    body = {"dataset": "x", "config": {"epochs": 0, "net": {"depth": 99}, "epocs": 3}, "colour": 1}
    problem = assert_problem(http.post("/v1/trainings", json=body), 422)
    pointers = {fault["pointer"] for fault in problem["errors"]}
    assert pointers == {"/config/epochs", "/config/net/depth", "/config/epocs", "/colour"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(http: httpx.Client, number: str) -> None:
    body = f'{{"dataset": "x", "config": {{"optimizer": {{"lr": {number}}}}}}}'
    answer = http.post("/v1/trainings", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422)


def test_what_was_sent_is_not_echoed(http: httpx.Client) -> None:
    answer = http.post("/v1/trainings", json={"dataset": {"secret": "hunter2"}, "hunter3": 1})
    assert_problem(answer, 422)
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "a\x1bb"])
def test_characters_that_no_database_takes_are_refused(http: httpx.Client, text: str) -> None:
    content = json.dumps({"dataset": text}).encode()
    answer = http.post("/v1/trainings", content=content, headers={"content-type": "application/json"})
    assert_problem(answer, 422)


@pytest.mark.parametrize("kind", ["scenes", "labels", "datasets", "trainings", "models", "predictions", "jobs"])
@pytest.mark.parametrize("name", ["nothing", "a%00b", "%ff", "a'--", "甘蔗"])
def test_what_is_not_there_is_404_whatever_its_name(http: httpx.Client, kind: str, name: str) -> None:
    assert_problem(http.get(f"/v1/{kind}/{name}"), 404)


def test_a_wrong_method_and_a_wrong_path_are_problems_too(http: httpx.Client) -> None:
    assert_problem(http.put("/v1/jobs"), 405)
    assert_problem(http.get("/nowhere"), 404)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "token=forged", "colour=red"])
def test_bad_list_parameters_are_refused(http: httpx.Client, query: str) -> None:
    assert_problem(http.get(f"/v1/jobs?{query}"), 422)


def test_the_documentation_needs_no_other_host(http: httpx.Client) -> None:
    page = http.get("/docs").text
    assert "swagger" in page
    assert "https://" not in page
    assert http.get("/openapi.json").json()["info"]["title"] == "canemap"
    assert http.get("/").headers["location"] == "/docs"
