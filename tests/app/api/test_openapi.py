"""What the API says of itself is valid, and is what it does."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from app.main import create_app
from app.settings import Settings
from tests.app.api.conftest import DATASET, TINY, Perform, copy_of_service, make_dataset, put, serving, zones_file
from tests.rounds import rounds

HERE = Path(__file__).parent
TESTER = str(Path(sys.executable).with_name("schemathesis"))
EXAMPLES = rounds(3)  # of each operation and phase; by hand take 200


@pytest.fixture
def settings(prepared_sqlite: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Of a service that has a dataset; what is asked here has nothing to do with the database."""
    with copy_of_service(prepared_sqlite, tmp_path) as settings:
        yield settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """/openapi.json"""
    made: dict[str, Any] = create_app(Settings(data_dir=tmp_path_factory.mktemp("data"))).openapi()
    return made


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and what is said of them."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


def test_every_answer_has_a_schema_and_every_refusal_is_a_problem(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert "422" in operation["responses"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemDocument"}
            elif int(status) not in (204, 304):
                assert all(content["schema"] for content in response["content"].values()), (path, method, status)


def test_operations_are_named_once_by_their_functions_and_have_a_tag_with_a_sentence(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert {"post_training", "list_scenes", "get_tile"} <= set(names)
    told = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tag for *_, operation in operations(document) for tag in operation["tags"]} == told


def test_what_can_be_got_can_be_asked_for_its_head(http: httpx.Client, document: dict[str, Any]) -> None:
    for path in ("/v1/scenes", "/v1/scenes/s1", "/v1/scenes/s1/data", "/healthz", "/metrics", "/openapi.json", "/docs"):
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert http.head("/v1/scenes/s1/data").headers["content-length"] == str(len(http.get("/v1/scenes/s1/data").content))
    assert http.head("/v1/scenes/nothing").status_code == 404
    assert http.head("/v1/scenes?colour=red").status_code == 422
    assert http.head("/v1/uploads/" + "0" * 32).status_code == 404
    for path, methods in document["paths"].items():
        if "get" in methods:
            assert http.head(path.replace("{", "").replace("}", "")).status_code != 405, path


def test_the_head_of_events_waits_for_none(http: httpx.Client) -> None:
    head = http.head(f"/v1/jobs/{DATASET}/events", timeout=10)  # a heartbeat comes after 15 s
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert http.head("/v1/jobs/nothing/events").status_code == 404


def test_a_wrong_method_is_told_the_right_ones(http: httpx.Client) -> None:
    refused = http.post("/v1/jobs/trn_1")
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD")
    assert http.delete("/v1/scenes").headers["allow"] == "GET, HEAD, POST"


def test_a_dataset_with_the_longest_name_can_be_read(http: httpx.Client, do: Perform) -> None:
    name = "x" * 80
    assert make_dataset(http, do, name=name) == f"{name}:1"
    assert http.get(f"/v1/datasets/{name}:1").json()["name"] == name


def test_the_examples_of_bodies_are_accepted(
    http: httpx.Client, mask: Path, do: Perform, document: dict[str, Any]
) -> None:
    put(http, "/v1/labels/plots", mask)
    put(http, "/v1/zones/counties", zones_file(mask.with_suffix(".geojson")), code_field="code")
    make_dataset(http, do, name="gx2018")
    do(http.post("/v1/trainings", json={"dataset": "gx2018:1", "register_as": "cane", "config": TINY}).json()["id"])
    ids = {"scenes": "s1", "labels": "plots", "datasets": "gx2018:1", "models": "cane", "schedules": "monthly"}
    ids |= {"zones": "counties", "tenants": "nanning", "processes": "prediction"}
    map_ = http.post("/v1/predictions", json={"scene": "s1", "model": "cane@champion"}).json()["id"]
    do(map_)
    # a new version of the dataset last: what names no version means the newest
    order = sorted(examples(document), key=lambda each: (each[1] == "/v1/datasets") - each[1].startswith("/v1/tenants"))
    for method, path, example in order:
        id_ = ids.get(path.split("/")[2], "")
        body = example | {"map": map_} if "map" in example else example
        answer = http.request(method, path.format(id=id_, which="@champion", alias="champion"), json=body)
        assert answer.is_success, answer.text
        if "location" in answer.headers:
            kind, made = answer.headers["location"].split("/")[2:4]
            ids.setdefault(kind, made)


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and body: one at least for each body that is JSON."""
    for path, method, operation in operations(document):
        if body := operation.get("requestBody", {}).get("content", {}).get("application/json"):
            schema = body["schema"].get("anyOf", [body["schema"]])[0]  # a body that can be left out is null there
            model = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
            yield from ((method, path, example) for example in model["examples"])


@pytest.mark.timeout(900)  # on two slow cores it has taken 300 s
def test_it_does_what_it_says(settings: Settings) -> None:
    tester = [TESTER, "--config-file", str(HERE / "schemathesis.toml"), "run"]
    options = ["--max-examples", str(EXAMPLES), "--generation-database", "none", "--no-color", "--max-failures", "5"]
    with serving(settings.model_copy(update={"log_level": "error"})) as http:
        command = [*tester, f"{http.base_url}/openapi.json", *options]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=settings.data_dir.parent)
    assert ran.returncode == 0, ran.stdout
