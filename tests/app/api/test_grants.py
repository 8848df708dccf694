"""A tenant that was given a model of another one: what it can read and make, and what it cannot; on both databases."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.core import tenancy
from app.core.columns import now
from app.services import Services
from app.settings import Settings
from app.upkeep.retention import orphans
from tests.app.api.access import OTHER, make_key, showing
from tests.app.api.conftest import pixels, put
from tests.ml.conftest import write_scene
from worker.supervisor import perform_all

GIVEN = "local~cane"
BODY = {"scene": "field", "model": f"{GIVEN}@champion", "config": {"outputs": ["classes"]}}


@pytest.fixture
def settings(trained: Settings) -> Settings:
    return trained.model_copy(update={"auth": "keys"})


@pytest.fixture
def county(http: httpx.Client, settings: Settings, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a tenant that has a scene, and no model. `http` is the operator, who has the model "cane"."""
    http.headers.update(showing(make_key(settings)))
    with httpx.Client(base_url=http.base_url, timeout=60, headers=showing(make_key(settings, OTHER))) as client:
        assert put(client, "/v1/scenes/field", write_scene(tmp_path / "field.tif", pixels(seed=9))).status_code == 201
        yield client


def give(http: httpx.Client, *models: str) -> httpx.Response:
    return http.put(f"/v1/tenants/{OTHER}", json={"grants": models})


def work(settings: Settings) -> None:
    services = Services.open(settings)
    perform_all(services, ("light", "training", "prediction"), threading.Event())
    services.close()


def test_what_was_not_given_is_as_unknown_as_what_nobody_has(http: httpx.Client, county: httpx.Client) -> None:
    version = "/versions/1"
    for path in ("", "/versions/@champion", version, f"{version}/bundle", f"{version}/onnx", f"{version}/evaluations"):
        found, missing = (county.get(f"/v1/models/local~{name}{path}") for name in ("cane", "none"))
        assert found.status_code == missing.status_code == 404
        assert found.text == missing.text.replace("none", "cane"), path
    bodies = (BODY | {"model": f"local~{name}"} for name in ("cane", "none"))
    made, unknown = (county.post("/v1/predictions", json=body) for body in bodies)
    assert made.status_code == 422 and made.text == unknown.text.replace("none", "cane")
    assert county.put("/v1/tenants/local", json={"grants": ["local~cane"]}).status_code == 403


def test_a_given_model_is_read_and_maps_with_its_champion_of_the_day(
    http: httpx.Client, county: httpx.Client, settings: Settings
) -> None:
    assert give(http, GIVEN).json()["grants"] == [GIVEN] == county.get("/v1/whoami").json()["grants"]
    theirs, own = county.get(f"/v1/models/{GIVEN}").json(), http.get("/v1/models/cane").json()
    assert theirs["name"] == theirs["versions"][0]["name"] == GIVEN and theirs["aliases"] == own["aliases"]
    version = county.get(f"/v1/models/{GIVEN}/versions/@champion").json()
    assert version["metrics"] == own["versions"][0]["metrics"]
    assert (version["training"], version["dataset"]) == (None, None)
    assert own["versions"][0]["training"] not in str(theirs) + str(version)
    bundle = county.get(f"/v1/models/{GIVEN}/versions/1/bundle").content
    assert bundle == http.get("/v1/models/cane/versions/1/bundle").content
    assert county.get(f"/v1/models/{GIVEN}/versions/1/onnx").status_code == 200

    made = county.post("/v1/predictions", json=BODY)
    assert made.status_code == 201, made.text
    mine = http.post("/v1/models/cane/versions", content=bundle).json()["version"]
    assert http.put("/v1/models/cane/aliases/champion", json={"version": mine}).status_code == 200
    later = county.post("/v1/predictions", json=BODY).json()
    work(settings)
    for id_, number in ((made.json()["id"], 1), (later["id"], mine)):
        assert county.get(f"/v1/predictions/{id_}").json()["properties"]["model"] == {"name": GIVEN, "version": number}
        assert county.get(f"/v1/predictions/{id_}/areas").status_code == 200
        assert county.get(f"/v1/predictions/{id_}/classes.tif").status_code == 200
    assert county.get("/v1/models").json()["items"] == []  # the copies are not models of its own
    assert county.get("/v1/stac/search?collections=models").json()["features"] == []
    assert county.patch(f"/v1/models/{GIVEN}", json={"title": "mine"}).status_code == 404
    assert county.put(f"/v1/models/{GIVEN}/aliases/champion", json={"version": 1}).status_code in (404, 422)


def test_maps_and_copies_stay_when_the_grant_and_the_version_go(
    http: httpx.Client, county: httpx.Client, settings: Settings
) -> None:
    give(http, GIVEN)
    sent = {"Idempotency-Key": "one"}
    first = county.post("/v1/predictions", json=BODY, headers=sent).json()["id"]
    give(http)
    assert county.post("/v1/predictions", json=BODY, headers=sent).json()["id"] == first
    for model in (GIVEN, f"{GIVEN}@champion", f"{GIVEN}:1"):
        assert county.post("/v1/predictions", json=BODY | {"model": model}).status_code == 422
    assert county.get(f"/v1/models/{GIVEN}").status_code == 404
    assert http.delete("/v1/models/cane?cascade=true").status_code == 204
    work(settings)
    document = county.get(f"/v1/predictions/{first}").json()
    assert document["properties"]["status"] == "successful", document
    held = county.delete(f"/v1/models/{GIVEN}/versions/1")
    assert held.status_code == 409 and first in held.text
    assert county.delete(f"/v1/predictions/{first}").status_code == 204
    assert county.delete(f"/v1/models/{GIVEN}/versions/1").status_code == 204
    services = Services.open(settings)
    assert orphans(services, now()) == []
    services.close()


def test_a_process_takes_a_given_model_as_its_route_does(http: httpx.Client, county: httpx.Client) -> None:
    inputs = {"model": f"{GIVEN}@champion", "dataset": "none:1"}
    path = "/v1/processes/evaluation/execution"
    assert county.post(path, json={"inputs": inputs}).json()["type"] == "unknown-model"
    give(http, GIVEN)
    by_process = county.post(path, json={"inputs": inputs}).json()["type"]
    by_route = county.post(f"/v1/models/{GIVEN}/versions/@champion/evaluations", json={"dataset": "none:1"})
    assert by_process == by_route.json()["type"] != "unknown-model"


def test_simultaneous_uses_make_one_copy(http: httpx.Client, county: httpx.Client, settings: Settings) -> None:
    give(http, GIVEN)
    answers: list[int] = []

    def send() -> None:
        answers.append(county.post("/v1/predictions", json=BODY).status_code)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 6
    services = Services.open(settings)
    with tenancy.acting_for(OTHER):
        copies = list(services.store.keys(f"models/{tenancy.file_name(GIVEN)}/"))
    services.close()
    assert len(copies) == 1


def test_models_that_cannot_be_given_are_all_named(http: httpx.Client, county: httpx.Client) -> None:
    answer = give(http, GIVEN, "local~none", "cane", f"{OTHER}~cane", "nobody~cane", "local/cane")
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/grants/{index}" for index in range(1, 6)]
    assert county.get("/v1/whoami").json()["grants"] == []
    assert http.put("/v1/tenants/new", json={"grants": ["local~none"]}).status_code == 422
    assert http.get("/v1/tenants/new").status_code == 404
    give(http, GIVEN)
    assert http.put(f"/v1/tenants/{OTHER}", json={"title": "南宁"}).json()["grants"] == [GIVEN]
