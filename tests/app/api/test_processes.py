"""The kinds of work as OGC API - Processes 1.0: the same jobs as by the other routes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from openapi_schema_validator import OAS30Validator

from app.access.scopes import SCOPES
from app.api.http.access import ROUTES
from app.api.http.heads import routes_of
from app.api.processes import NO_SUCH_PROCESS, WORK
from app.jobs.kinds import KINDS
from app.main import create_app
from app.settings import Settings
from tests.app.api.access import make_key, showing
from tests.app.api.conftest import DATASET, TINY, Perform, copy_of_service, serving

OGC = "http://www.opengis.net/def/rel/ogc/1.0/"
MODEL = "cane@champion"
# what a schema may hold by schema.yaml of the standard, of which no file may be here
# fmt: off
KEYWORDS = {
    "title", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
    "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required", "enum", "type",
    "not", "allOf", "oneOf", "anyOf", "items", "properties", "additionalProperties", "description", "format",
    "default", "nullable", "readOnly", "writeOnly", "example", "deprecated", "contentMediaType", "contentEncoding",
    "contentSchema",
}
# fmt: on
TYPES = {"array", "boolean", "integer", "number", "object", "string"}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "dataset": (
        "/v1/datasets",
        {
            "name": "gx",
            "scenes": ["s1", "s2", "s3"],
            "labels": ["truth"],
            "split": {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]},
            "leaks": "allow",
        },
    ),
    "training": ("/v1/trainings", {"dataset": DATASET, "register_as": "cane", "config": TINY}),
    "experiment": (
        "/v1/experiments",
        {"dataset": DATASET, "config": TINY, "seeds": [0], "variants": [{"name": "ce", "config": {}}]},
    ),
    "evaluation": ("/v1/models/cane/versions/@champion/evaluations", {"dataset": DATASET}),
    "prediction": ("/v1/predictions", {"scene": "s1", "model": MODEL, "config": {"simplify_m": 20}}),
    "survey": ("/v1/surveys", {"scenes": ["s1"], "model": MODEL, "overlap": "best", "resolution_m": 20}),
    "sample": ("/v1/samples", {"map": "the id of the prediction", "design": {"n": 100, "seed": 7}}),
}


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """Of a service with a model, once on SQLite and once on PostgreSQL."""
    return trained


def body_of(process: str, http: httpx.Client) -> dict[str, Any]:
    """The body in `BODIES`, for a sample with the prediction that is there."""
    body = BODIES[process][1]
    return body | {"map": http.get("/v1/predictions").json()["features"][0]["id"]} if "map" in body else body


def inputs_of(process: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The inputs that mean what the body in `BODIES` means, with objects as the standard has them."""
    body = (body or BODIES[process][1]) | ({"model": MODEL} if process == "evaluation" else {})
    return {name: {"value": value} if isinstance(value, dict) else value for name, value in body.items()}


def execute(http: httpx.Client, process: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return http.post(f"/v1/processes/{process}/execution", json=body, headers=headers)


def schemas_in(schema: object) -> Iterator[dict[str, Any]]:
    """A schema and all schemas in it."""
    if isinstance(schema, list):
        for each in schema:
            yield from schemas_in(each)
    if isinstance(schema, dict):
        yield schema
        for key in ("items", "allOf", "anyOf", "oneOf", "additionalProperties"):
            yield from schemas_in(schema.get(key))
        for each in schema.get("properties", {}).values():
            yield from schemas_in(each)


def test_a_client_finds_everything_from_the_landing_page(http: httpx.Client) -> None:
    rels = {link["rel"]: link["href"] for link in http.get("/v1/", follow_redirects=True).json()["links"]}
    declared = http.get(rels[f"{OGC}conformance"]).json()["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core" in declared
    assert http.get(rels[f"{OGC}job-list"]).status_code == 200
    listed = http.get(rels[f"{OGC}processes"]).json()
    assert [each["id"] for each in listed["processes"]] == list(WORK)
    for summary in listed["processes"]:
        by_rel = {link["rel"]: link["href"] for link in summary["links"]}
        described = http.get(by_rel["self"]).json()
        assert described.items() >= summary.items() and described["inputs"] and described["outputs"]
        assert by_rel[f"{OGC}execute"] == f"{http.base_url}/v1/processes/{summary['id']}/execution".replace(
            "//v1", "/v1"
        )
        assert http.get(by_rel["up"]).json() == listed


@pytest.mark.parametrize("process", WORK)
def test_inputs_are_described_by_schemas_that_say_what_is_accepted(http: httpx.Client, process: str) -> None:
    inputs = http.get(f"/v1/processes/{process}").json()["inputs"]
    model = WORK[process].inputs
    assert inputs.keys() == model.model_fields.keys()
    for name, described in inputs.items():
        OAS30Validator.check_schema(described["schema"])
        for schema in schemas_in(described["schema"]):
            assert schema.keys() <= KEYWORDS, schema
            assert schema.get("type", "object") in TYPES
        assert described["minOccurs"] == int(model.model_fields[name].is_required())
    for name, value in inputs_of(process).items():
        plain = value["value"] if isinstance(value, dict) else value
        OAS30Validator(inputs[name]["schema"]).validate(plain)
    assert not OAS30Validator(inputs["title"]["schema"]).is_valid(5)
    assert OAS30Validator(inputs["title"]["schema"]).is_valid(None)


def test_limits_of_inputs_are_those_of_the_models(http: httpx.Client) -> None:
    config = OAS30Validator(http.get("/v1/processes/prediction").json()["inputs"]["config"]["schema"])
    for good, bad in (({"simplify_m": 0.1}, {"simplify_m": 0}), ({"threshold": 0.9}, {"threshold": 1}), ({}, {"x": 1})):
        assert config.is_valid(good) and not config.is_valid(bad)


@pytest.mark.parametrize("process", WORK)
def test_an_execution_makes_what_the_route_of_the_resource_makes(http: httpx.Client, do: Perform, process: str) -> None:
    path, body = BODIES[process][0], body_of(process, http)
    answer = execute(http, process, {"inputs": inputs_of(process, body)}, Prefer="respond-async")
    status = answer.json()
    assert (answer.status_code, status["status"], status["processID"]) == (201, "accepted", process)
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert None not in status.values()
    assert answer.headers["Location"] == f"{http.base_url}".rstrip("/") + f"/v1/jobs/{status['jobID']}"
    by_route = http.post(path, json=body).json()
    by_process = http.get(f"/v1/{KINDS[process].collection}/{status['jobID']}").json()
    assert same_but_for_identity(by_process) == same_but_for_identity(by_route)
    for job in http.get("/v1/jobs?status=accepted").json()["items"][::-1]:
        if job["parent"] == status["jobID"]:
            do(job["jobID"])
    do(status["jobID"])
    ended = http.get(answer.headers["Location"]).json()
    assert ended["status"] == "successful"
    (results,) = [link["href"] for link in ended["links"] if link["rel"] == f"{OGC}results"]
    outputs = http.get(results).json()
    assert outputs.keys() <= http.get(f"/v1/processes/{process}").json()["outputs"].keys()
    assert process in outputs and (process != "prediction" or "polygons.gpkg" in outputs)
    for link in outputs.values():
        got = http.get(link["href"])
        assert (got.status_code, got.headers["content-type"]) == (200, link["type"])


def same_but_for_identity(document: dict[str, Any]) -> str:
    """A document without its id, number, times and place in the queue."""
    text = json.dumps({key: value for key, value in document.items() if key not in ("job", "links")})
    return re.sub(r'(trn|exp|evl|prd|srv|smp)_\w+|gx:\d|"version": \d|\d{4}-\d\d-\d\dT[\d:.]+Z', "?", text)


def test_the_answer_waits_if_it_is_asked_to(http: httpx.Client) -> None:
    waited = execute(http, "prediction", {"inputs": inputs_of("prediction")}, Prefer="wait=1")
    assert waited.elapsed.total_seconds() >= 1 and waited.json()["status"] == "accepted"
    assert "Preference-Applied" not in waited.headers


def test_a_repeated_execution_makes_one_job(http: httpx.Client) -> None:
    body = {"inputs": inputs_of("training")}
    first, again = (execute(http, "training", body, **{"Idempotency-Key": "once"}) for _ in range(2))
    assert first.json()["jobID"] == again.json()["jobID"]
    other = execute(http, "prediction", {"inputs": inputs_of("prediction")}, **{"Idempotency-Key": "once"})
    assert (other.status_code, other.json()["type"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("process", "body", "where"),
    [
        ("prediction", {"inputs": {"scene": "s1"}}, {"/inputs/model"}),
        ("prediction", {"inputs": {"scene": 5, "model": MODEL, "x": 1}}, {"/inputs/scene", "/inputs/x"}),
        (
            "prediction",
            {"inputs": {"scene": "s1", "model": MODEL, "config": {"value": {"simplify_m": -1}}}},
            {"/inputs/config/simplify_m"},
        ),
        ("prediction", {"inputs": {"scene": "no", "model": "no"}}, {"/inputs/scene", "/inputs/model"}),
        ("evaluation", {"inputs": {"dataset": DATASET, "model": "no"}}, {"/inputs/model"}),
        ("training", {"inputs": {"dataset": "no:1"}}, {"/inputs/dataset"}),
        ("training", {"inputs": inputs_of("training"), "outputs": {"map": {}}}, {"/outputs/map"}),
        ("training", {"inputs": inputs_of("training"), "response": "raw"}, {"/response"}),
        ("training", {"inputs": inputs_of("training"), "subscriber": {"successUri": "http://x"}}, {"/subscriber"}),
        ("training", {"inputs": []}, {"/inputs"}),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    http: httpx.Client, process: str, body: dict[str, Any], where: set[str]
) -> None:
    refused = execute(http, process, body)
    assert refused.status_code == 422
    assert {fault["pointer"] for fault in refused.json()["errors"]} == where
    assert all(fault["hint"] for fault in refused.json()["errors"])


def test_a_process_that_is_none_has_the_type_of_the_standard(http: httpx.Client) -> None:
    for answer in (http.get("/v1/processes/part"), execute(http, "buffer", {"inputs": {}})):
        assert (answer.status_code, answer.json()["type"]) == (404, NO_SUCH_PROCESS)


def test_jobs_are_listed_as_the_standard_has_them(http: httpx.Client) -> None:
    job = execute(http, "prediction", {"inputs": inputs_of("prediction")}).json()
    listed = http.get("/v1/jobs?type=process&limit=1").json()
    assert [each["jobID"] for each in listed["jobs"]] == [each["jobID"] for each in listed["items"]] == [job["jobID"]]
    assert None not in listed["jobs"][0].values()
    further = {link["rel"]: link["href"] for link in listed["links"]}["next"]
    assert http.get(further).json()["jobs"][0]["jobID"] != job["jobID"]
    for interval, found in ((f"{job['created']}/..", True), (f"../{job['created']}", True), ("../2020-01-01", False)):
        ids = [each["jobID"] for each in http.get("/v1/jobs", params={"datetime": interval}).json()["jobs"]]
        assert (job["jobID"] in ids) == found, interval
    assert http.get("/v1/jobs?type=workflow").status_code == 422


def test_an_execution_needs_what_the_route_of_the_same_work_needs(trained_sqlite: Settings, tmp_path: Path) -> None:
    with (
        copy_of_service(trained_sqlite, tmp_path) as copied,
        serving(copied.model_copy(update={"auth": "keys"})) as http,
    ):
        for scope in SCOPES:
            headers = showing(make_key(copied, scope=scope))
            for process, work in WORK.items():
                answer = execute(http, process, {"inputs": {}}, **headers)
                needed = ROUTES[work.route]
                assert needed is not None
                expected = 422 if SCOPES.index(scope) >= SCOPES.index(needed) else 403
                assert answer.status_code == expected, (scope, process)
                if expected == 403 and scope != "view":
                    assert repr(needed) in answer.json()["detail"]
        assert execute(http, "prediction", {"inputs": {}}).status_code == 401


def test_each_process_names_the_route_that_takes_the_same_body() -> None:
    bodies = {
        route.original_route.name: route.original_route.body_field.field_info.annotation
        for route in routes_of(create_app(Settings()))
        if isinstance(route.original_route, APIRoute) and route.original_route.body_field
    }
    for work in WORK.values():
        body = bodies[work.route]
        assert body in work.inputs.__mro__, work


def test_there_is_a_process_for_each_kind_that_can_be_asked_for() -> None:
    assert WORK.keys() == {name for name, kind in KINDS.items() if not kind.for_parent}
