"""Every fault of a parameter has its place in one form, and a hint; all faults of a request come together."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from app.main import create_app
from app.settings import Settings
from tests.app.api.conftest import description, serving_for_a_module

Operation = tuple[str, str]


@pytest.fixture(scope="module", params=["sqlite"])
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of one server for all tests, since refused requests change nothing."""
    with serving_for_a_module(request, tmp_path_factory) as client:
        yield client


def parameters() -> dict[Operation, list[dict[str, Any]]]:
    """The parameters of each operation that has a query."""
    return {
        (method, path): operation["parameters"]
        for path, operations in description()["paths"].items()
        for method, operation in operations.items()
        if any(each["in"] == "query" for each in operation.get("parameters", []))
    }


OPERATIONS = parameters()


def in_query(operation: Operation) -> dict[str, dict[str, Any]]:
    return {each["name"]: each["schema"] for each in OPERATIONS[operation] if each["in"] == "query"}


ANY_TEXT = ("sensor", "bands", "class_field", "field_id", "layer", "tenant")  # parameters that take any short text


def required(operation: Operation) -> list[str]:
    return [each["name"] for each in OPERATIONS[operation] if each["in"] == "query" and each.get("required")]


def wrong(schema: dict[str, Any]) -> str:
    """A value that no parameter with this schema takes."""
    kinds = [schema, *schema.get("anyOf", [])]
    longest = [kind["maxLength"] for kind in kinds if "maxLength" in kind]
    return "!" * (min(longest) + 1 if longest else 9)


def asked(http: httpx.Client, operation: Operation, query: list[tuple[str, str]]) -> list[dict[str, Any]]:
    method, path = operation
    known = {"kind": "datasets", "which": "1", "point": "1", "z": "0", "x": "0", "y": "0"}
    in_path = {each["name"]: each["schema"] for each in OPERATIONS[operation] if each["in"] == "path"}
    known |= {name: schema["enum"][-1] for name, schema in in_path.items() if "enum" in schema and name not in known}
    path = path.format_map(defaultdict(lambda: "x", known))
    answer = http.request(
        method, path, params=httpx.QueryParams(tuple(query)), content=b"x" if method == "put" else None
    )
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    faults: list[dict[str, Any]] = answer.json()["errors"]
    assert all(fault["hint"] and fault["detail"] and fault["code"] for fault in faults)
    return faults


def test_every_route_with_a_query_is_described() -> None:
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    assert len(routes) > 40
    assert len(OPERATIONS) > 15


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_a_wrong_query_parameter_is_told_by_its_name(http: httpx.Client, operation: Operation) -> None:
    for name, schema in in_query(operation).items():
        needed = [(other, "x") for other in required(operation) if other != name]
        (fault,) = asked(http, operation, [*needed, (name, "a\x01b")])
        assert fault["pointer"] == f"query:{name}"
        if name in ANY_TEXT and "enum" not in schema:
            schema = {"maxLength": max(each.get("maxLength", 0) for each in (schema, *schema.get("anyOf", [])))}
        (fault,) = asked(http, operation, [*needed, (name, wrong(schema))])
        assert fault["pointer"].partition("/")[0] == f"query:{name}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_all_wrong_query_parameters_are_told_at_once(http: httpx.Client, operation: Operation) -> None:
    query = in_query(operation)
    expected = {f"query:{name}" for name in query if name != "classes"}
    every = [(name, wrong(schema)) for name, schema in query.items() if name != "classes"]
    assert {fault["pointer"] for fault in asked(http, operation, every)} == expected
    beside = [*every, ("colour", "red"), ("colour\n", "")]
    assert {fault["pointer"] for fault in asked(http, operation, beside)} == expected | {"query:colour", "query:"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_a_parameter_that_is_given_twice_is_refused(http: httpx.Client, operation: Operation) -> None:
    for name in in_query(operation):
        codes = {fault["code"]: fault["pointer"] for fault in asked(http, operation, [(name, "0"), (name, "1")])}
        assert codes["repeated_parameter"] == f"query:{name}"


def test_all_faults_of_the_options_of_labels_are_told_at_once(http: httpx.Client) -> None:
    query = {"crs": "nonsense", "background": "7", "classes": '{"a": 300, "b": "x"}', "upload": "!"}
    faults = asked(http, ("put", "/v1/labels/{id}"), [*query.items(), ("layer", "x" * 201), ("colour", "")])
    pointers = {"crs", "background", "classes/a", "classes/b", "upload", "layer", "colour"}
    assert {fault["pointer"] for fault in faults} == {f"query:{name}" for name in pointers}


def test_all_faults_of_a_form_are_told_at_once(http: httpx.Client) -> None:
    fields = {"id": ".x", "crs": "nonsense", "background": "7", "classes": "{", "colour": "red", "layer": "a\x01"}
    answer = http.post("/v1/labels", data=fields, files={"file": b"x"})
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {f"/{name}" for name in fields}
    assert all(fault["hint"] for fault in answer.json()["errors"])


@pytest.mark.parametrize(
    ("classes", "pointer"),
    [("{", ""), ("[]", ""), ('{"a": -1}', "/a"), ('{"a": 1, "a ": 2}', ""), ('{"a": 1, "a": 2}', "")],
)
def test_wrong_classes_are_told_by_their_place(http: httpx.Client, classes: str, pointer: str) -> None:
    (fault,) = asked(http, ("put", "/v1/labels/{id}"), [("classes", classes)])
    assert fault["pointer"] == f"query:classes{pointer}"


def test_what_a_file_contradicts_is_told_by_the_parameter(http: httpx.Client) -> None:
    ring = [[105.0, 23.0], [105.1, 23.0], [105.1, 23.1], [105.0, 23.0]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": shape, "properties": {"crop": "rice"}}
    file = json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()
    options = {
        "class_field": {"class_field": "kind"},
        "field_id": {"field_id": "plot"},
        "layer": {"layer": "x"},
        "classes": {"class_field": "crop", "classes": '{"cane": 1}'},
    }
    for name, query in options.items():
        put = http.put("/v1/labels/l", params=query, content=file).json()
        posted = http.post("/v1/labels", data={"id": "l", **query}, files={"file": file}).json()
        assert [fault["pointer"] for fault in put["errors"]] == [f"query:{name}"]
        assert [fault["pointer"] for fault in posted["errors"]] == [f"/{name}"]


def test_headers_and_names_in_paths_are_told_in_the_same_form(http: httpx.Client) -> None:
    upload = http.post("/v1/uploads").headers["location"]
    refused = [
        (http.patch(upload, headers={"Upload-Offset": "x"}), "header:upload-offset"),
        (http.put(upload, headers={"Content-Range": "x"}, content=b"x"), "header:content-range"),
        (http.post("/v1/uploads", headers={"Idempotency-Key": ""}), "header:idempotency-key"),
        (http.put("/v1/scenes/s", headers={"Content-Digest": "x"}, content=b"x"), "header:content-digest"),
        (http.put("/v1/scenes/.s", content=b"x"), "path:id"),
        (http.get("/v1/predictions/x/tiles/WebMercatorQuad/a/0/0.png"), "path:z"),
    ]
    for answer, pointer in refused:
        assert answer.status_code == 422, answer.text
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
