"""Two tenants with things of the same names, who do not see each other: on both databases, by every reference."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import ProgrammingError

from app.api.http.heads import routes_of
from app.core import tenancy
from app.core.columns import Base
from app.core.db import Database, ScopedSession, _only_own_rows
from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.tables import Scene
from tests.app.api.access import OTHER, make_key, showing
from tests.app.api.conftest import TINY, copy_of_service, serving
from tests.app.api.furnishing import furnish
from worker.supervisor import perform_all

CANARY = "CANARY of nanning"
QUEUES = ("light", "training", "prediction")


@dataclass(frozen=True)
class Portals:
    """A service with two tenants. own: A client of "local". other: of "nanning". ids: of things of "nanning" alone."""

    settings: Settings
    own: httpx.Client
    other: httpx.Client
    ids: dict[str, str]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def furnished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, dict[str, str], dict[str, str]]]:
    """A service whose two tenants have things; the keys of both; and what only "nanning" has. Tests copy it."""
    before: Settings = request.getfixturevalue(f"trained_{request.param}")
    folder = tmp_path_factory.mktemp("furnished")
    with copy_of_service(before, folder) as copied:
        settings = copied.model_copy(update={"auth": "keys", "webhook_networks": "127.0.0.0/8"})
        keys = {tenant: make_key(settings, tenant) for tenant in ("local", OTHER)}
        services = Services.open(settings)
        with serving(settings) as http:
            http.headers.update(showing(keys[OTHER]))
            ids = furnish(http, partial(_work, services), folder, CANARY)
        services.close()
        yield settings, keys, ids


@pytest.fixture
def portals(furnished: tuple[Settings, dict[str, str], dict[str, str]], tmp_path: Path) -> Iterator[Portals]:
    before, keys, ids = furnished
    with (
        copy_of_service(before, tmp_path) as settings,
        serving(settings) as own,
        httpx.Client(base_url=own.base_url, timeout=60, verify=False) as other,
    ):
        own.headers.update(showing(keys["local"]))
        other.headers.update(showing(keys[OTHER]))
        yield Portals(settings, own, other, ids)


def _work(services: Services) -> None:
    """Do all jobs that wait."""
    perform_all(services, QUEUES, threading.Event())


def _unknown(id_: str) -> str:
    """An id of the form of `id_` that nothing has."""
    return re.sub("[a-z]", "a", re.sub("[02-9]", "9", id_))  # an upload's is hexadecimal


def _paths(ids: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Every method and path that names something of `ids`, and the same path with ids that nothing has."""
    others = {"which": "1", "alias": "champion", "z": "1", "x": "1", "y": "1", "format": "png", "name": "loss"}
    others |= {
        "product": "classes.tif",
        "run": ids["run"],
        "item": ids["scenes"],
        "delivery": ids["delivery"],
        "point": "1",
        "file": "mosaic.tif",
    }
    for route in routes_of(create_app(Settings())):
        pattern = route.path or ""
        if "{" not in pattern or pattern.startswith(("/v1/keys", "/v1/tenants", "/v1/processes")):
            continue
        if "/stac/" in pattern and "{item}" not in pattern:
            continue  # every tenant has the same collections
        collection = "trainings" if "{kind}" in pattern else pattern.split("/")[2]
        id_ = "scenes" if collection == "stac" else ids[collection]
        path = pattern.replace("{kind}", "trainings")
        there, nowhere = path, path
        for name in re.findall(r"\{(\w+)[^}]*\}", path):
            value = id_ if name == "id" else others[name]
            foreign = value in ids.values()
            there = re.sub(rf"\{{{name}[^}}]*\}}", value, there)
            nowhere = re.sub(rf"\{{{name}[^}}]*\}}", _unknown(value) if foreign else value, nowhere)
        for method in sorted(route.methods or ()):
            yield method, there, nowhere


BODIES: dict[str, object] = {
    "PATCH": {"title": "mine now"},
    "PUT": {"version": 1, "reason": ""},
    "POST": {"dataset": "gx:1"},
}


def test_what_belongs_to_another_tenant_is_as_unknown_as_what_nothing_is(portals: Portals) -> None:
    before = _everything_of(portals.other)
    for method, there, nowhere in _paths(portals.ids):
        if method == "PUT" and there.startswith(("/v1/scenes", "/v1/labels", "/v1/zones")):
            continue  # makes one of this name for the tenant who sends it, as the next test shows
        body = BODIES.get(method)
        found = portals.own.request(method, there, json=body)
        missing = portals.own.request(method, nowhere, json=body)
        assert found.status_code in (404, 412, 415, 422), (method, there, found.text)
        said = [_without_ids(answer.text, portals.ids) for answer in (found, missing)]
        assert (found.status_code, said[0]) == (missing.status_code, said[1]), (method, there)
    assert _everything_of(portals.other) == before


def _without_ids(said: str, ids: dict[str, str]) -> str:
    for id_ in sorted(set(ids.values()), key=len, reverse=True):
        said = said.replace(id_, "?").replace(_unknown(id_), "?")
    return said


REFERENCES = [
    ("/v1/predictions", {"scene": "theirs", "model": "cane@champion"}),
    ("/v1/predictions", {"scene": "s1", "model": "theirs@champion"}),
    ("/v1/trainings", {"dataset": "theirs:1", "config": TINY}),
    ("/v1/trainings", {"dataset": "theirs", "config": TINY}),
    ("/v1/experiments", {"dataset": "theirs:1", "seeds": [0], "variants": [{"name": "ce", "config": {}}]}),
    ("/v1/models/cane/versions/1/evaluations", {"dataset": "theirs:1"}),
    ("/v1/processes/prediction/execution", {"inputs": {"scene": "s1", "model": "theirs@champion"}}),
    ("/v1/processes/evaluation/execution", {"inputs": {"dataset": "gx:1", "model": "theirs@champion"}}),
    ("/v1/processes/training/execution", {"inputs": {"dataset": "theirs:1"}}),
    (
        "/v1/datasets",
        {"name": "x", "scenes": ["theirs"], "labels": ["theirs"], "split": {"by": "scene", "train": ["theirs"]}},
    ),
    (
        "/v1/schedules",
        {"name": "x", "cron": "0 2 1 * *", "timezone": "UTC", "training": {"dataset": "theirs", "config": TINY}},
    ),
]


@pytest.mark.parametrize(("path", "body"), REFERENCES)
def test_a_body_cannot_name_what_belongs_to_another_tenant(
    portals: Portals, path: str, body: dict[str, object]
) -> None:
    for written in ("theirs", f"{OTHER}/theirs", f"{OTHER}~theirs"):
        sent = json.dumps(body).replace("theirs", written)
        found = portals.own.post(path, content=sent, headers={"Content-Type": "application/json"})
        missing = portals.own.post(
            path,
            content=sent.replace("theirs", "qqqqqq"),
            headers={"Content-Type": "application/json"},
        )
        assert found.status_code == missing.status_code and found.status_code in (404, 409, 422)
        assert found.text == missing.text.replace("qqqqqq", "theirs")


def test_zones_of_another_tenant_measure_nothing(portals: Portals) -> None:
    prediction = portals.own.get("/v1/predictions").json()["features"][0]["id"]
    url = f"/v1/predictions/{prediction}/areas?zones="
    found, missing = portals.own.get(f"{url}theirs"), portals.own.get(f"{url}qqqqqq")
    assert found.status_code == missing.status_code == 422
    assert found.text == missing.text.replace("qqqqqq", "theirs")
    own = f"/v1/predictions/{portals.ids['predictions']}/areas?zones=theirs"
    assert portals.other.get(own).json()["items"][0]["zone"] == "450122"


def test_the_same_names_are_different_things(portals: Portals) -> None:
    for path in ("/v1/scenes/s1", "/v1/labels/truth", "/v1/datasets/gx:1", "/v1/models/cane/versions/1"):
        mine, theirs = portals.own.get(path), portals.other.get(path)
        assert mine.status_code == theirs.status_code == 200
        assert mine.text != theirs.text and CANARY not in mine.text, path
    assert portals.own.get("/v1/scenes/s1/data").content != portals.other.get("/v1/scenes/s1/data").content
    assert portals.own.delete("/v1/models/cane?cascade=true").status_code == 204
    assert portals.own.get("/v1/models/cane").status_code == 404
    assert portals.other.get("/v1/models/cane").status_code == 200
    assert portals.other.get("/v1/models/cane/versions/1/bundle").status_code == 200


LISTS = [
    *("jobs", "scenes", "labels", "zones", "datasets", "trainings", "experiments", "models", "predictions"),
    *("schedules", "samples", "webhooks", "keys", "stac/search", "stac/collections", "stac/collections/scenes/items"),
    *("stac/collections/models/items", "models/cane/versions/1/evaluations", "audit"),
]


def test_what_is_known_of_own_things_is_told_to_every_tenant(portals: Portals) -> None:
    told = portals.other.get(f"/v1/predictions/{portals.ids['predictions']}").json()["properties"]["warnings"]
    assert "known_scene" in {note["code"] for note in told}


def test_no_list_metric_page_or_error_tells_of_another_tenant(portals: Portals) -> None:
    private = (CANARY, "theirs", *(id_ for id_ in portals.ids.values() if "_" in id_))
    # whoever runs the service sees in the audit log who has changed what, also of other tenants
    pages = [f"/v1/{name}?limit=1000" for name in LISTS if name != "audit"] + ["/", "/v1", "/readyz"]
    pages.append("/v1/audit?limit=1000&tenant=local")
    for path in pages:
        said = portals.own.get(path).text
        assert not [word for word in private if word in said], path
    assert portals.own.get("/metrics").status_code == 200
    assert not [word for word in private if word in portals.own.get("/metrics").text]
    assert portals.other.get("/metrics").status_code == 403


def test_without_the_condition_on_statements_lists_tell_of_another_tenant_unless_postgresql_stops_it(
    portals: Portals,
) -> None:
    event.remove(ScopedSession, "do_orm_execute", _only_own_rows)
    try:
        stopped = portals.settings.database.startswith("postgresql")
        assert (CANARY in portals.own.get("/v1/scenes?limit=1000").text) != stopped
    finally:
        event.listen(ScopedSession, "do_orm_execute", _only_own_rows)
    assert CANARY not in portals.own.get("/v1/scenes?limit=1000").text


def test_the_token_of_another_tenants_list_leads_to_own_things_alone(portals: Portals) -> None:
    page = portals.other.get("/v1/scenes?limit=1").json()
    link = next(link["href"] for link in page["links"] if link["rel"] == "next")
    token = httpx.URL(link).params["token"]
    assert CANARY not in portals.own.get("/v1/scenes", params={"token": token, "limit": 1000}).text


def test_an_idempotency_key_belongs_to_its_tenant(portals: Portals) -> None:
    body = {"scene": "s1", "model": "cane@champion"}
    made = [
        http.post("/v1/predictions", json=body, headers={"Idempotency-Key": "same"}).json()["id"]
        for http in (portals.own, portals.other, portals.own, portals.other)
    ]
    assert made[0] == made[2] != made[1] == made[3]


def test_tiles_that_were_opened_for_one_tenant_are_not_served_to_another(portals: Portals) -> None:
    path = f"/v1/predictions/{portals.ids['predictions']}/preview.png"
    assert portals.other.get(path).status_code == 200
    assert portals.own.get(path).status_code == 404


def _everything_of(http: httpx.Client) -> list[str]:
    """All that the lists of a tenant say, without the times of use of its keys."""
    said = [http.get(f"/v1/{name}?limit=1000").text for name in LISTS]
    return [re.sub(r'"last_used":("[^"]*"|null)', "", text_) for text_ in said]


def test_sessions_of_a_tenant_cannot_write_rows_of_another(portals: Portals) -> None:
    database = Database(portals.settings.database)
    with tenancy.acting_for(OTHER), database.write() as session:
        found = session.get_one(Scene, "s1")
    with database.write() as session, pytest.raises(RuntimeError, match="scope"), tenancy.acting_for(OTHER):
        session.get(Scene, "s1")
    assert found.tenant == OTHER and found.id == "s1"
    with database.read() as session:
        assert session.get_one(Scene, "s1").sha256 != found.sha256
        assert session.get(Scene, f"{OTHER}/s1") is None and session.get(Scene, f"{OTHER}/theirs") is None
        assert session.scalar(select(func.count()).select_from(Scene).where(Scene.title == CANARY)) == 0
    with tenancy.acting_for(tenancy.ALL), database.read() as session:
        ids = session.scalars(select(Scene.id)).all()
        assert {"s1", f"{OTHER}/s1", f"{OTHER}/theirs"} <= set(ids) and "theirs" not in ids
    database.close()


def test_postgresql_hides_rows_from_statements_that_name_no_tenant(portals: Portals) -> None:
    database = Database(portals.settings.database)
    if database.engine.dialect.name != "postgresql":
        database.close()
        pytest.skip("SQLite has no row-level security")
    owned = [table.name for table in Base.metadata.sorted_tables if "tenant" in table.columns]
    assert "keys" in owned and len(owned) > 20
    for scope, seen in ((OTHER, {OTHER}), ("local", {"local"}), (tenancy.ALL, {OTHER, "local"}), ("", set())):
        with tenancy.acting_for(scope), database.read() as session:
            for table in owned:
                assert set(session.scalars(text(f"SELECT DISTINCT tenant FROM {table}"))) <= seen, table
            assert set(session.scalars(text("SELECT DISTINCT tenant FROM jobs"))) == seen
    foreign = text("INSERT INTO models (tenant, name, revision) VALUES ('local', 'x', 1)")
    refused = pytest.raises(ProgrammingError, match="row-level security")
    with tenancy.acting_for(OTHER), refused, database.write() as session:
        session.execute(foreign)
    with tenancy.acting_for(tenancy.ALL), database.write() as session:
        session.execute(text("ALTER TABLE scenes DISABLE ROW LEVEL SECURITY"))
    with tenancy.acting_for(OTHER), database.read() as session:
        assert set(session.scalars(text("SELECT DISTINCT tenant FROM scenes"))) == {OTHER, "local"}
    database.close()
