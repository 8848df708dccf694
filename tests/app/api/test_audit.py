"""The audit log: each change has an entry, in its own transaction, and nothing else has one; on both databases."""

import csv
import io
import threading
from base64 import b64encode

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.core.acting import Act, acting
from app.core.idempotency import IdempotentRequest
from app.services import Services
from app.settings import Settings
from app.tables import AuditEntry, Scene, Tenant
from tests.app.api.access import OTHER, make_key, showing
from tests.app.api.conftest import pixels
from tests.ml.conftest import MakeScene
from tests.waiting import eventually
from worker.supervisor import perform_all

MODEL = "/v1/models/cane"


@pytest.fixture
def settings(trained: Settings) -> Settings:
    return trained.model_copy(update={"auth": "keys"})


@pytest.fixture
def admin(http: httpx.Client, settings: Settings) -> str:
    """The id of the key that `http` shows."""
    key = make_key(settings)
    http.headers.update(showing(key))
    return key.split("_")[1]


def entries(http: httpx.Client, **query: str) -> list[dict[str, str | None]]:
    """The entries of the audit log, oldest first, without those of the requests that furnished the service."""
    found = http.get("/v1/audit", params=query).json()["items"]
    return [entry for entry in reversed(found) if entry["who"] != "loopback"]


def test_each_change_has_an_entry_that_says_who_and_what(http: httpx.Client, admin: str) -> None:
    assert entries(http) == []
    body = {"scene": "s1", "model": "cane@champion"}
    made = http.post("/v1/predictions", json=body, headers={"Idempotency-Key": "one"})
    http.post("/v1/predictions", json=body, headers={"Idempotency-Key": "one"})  # the answer of before
    http.put(f"{MODEL}/aliases/tried", json={"version": 1})
    http.patch("/v1/scenes/s1", json={"title": "武鸣"})
    http.patch("/v1/scenes/s1", json={"title": 7})
    http.delete("/v1/scenes/nothing")
    http.delete(f"{MODEL}/aliases/tried")
    http.get(f"{MODEL}/versions/1/bundle")
    signed = http.post("/v1/signed-urls", json={"path": "/v1/scenes/s1/data"})
    http.get(signed.json()["url"], headers={"Authorization": ""})
    found = entries(http)
    assert [(entry["action"], entry["made"]) for entry in found] == [
        ("POST /v1/predictions", made.json()["id"]),
        (f"PUT {MODEL}/aliases/tried", "cane:1"),
        ("PATCH /v1/scenes/s1", None),
        (f"DELETE {MODEL}/aliases/tried", None),
        ("POST /v1/signed-urls", "/v1/scenes/s1/data"),
    ]
    assert {(entry["who"], entry["tenant"], entry["peer"]) for entry in found} == {
        (f"key {admin}", "local", "127.0.0.1")
    }
    assert found[0]["request"] == made.headers["X-Request-ID"]
    assert signed.json()["url"].partition("=")[2] not in str(found)


def test_what_only_a_head_makes_of_an_upload_has_an_entry(
    http: httpx.Client, admin: str, make_scene: MakeScene
) -> None:
    told = {"kind": "scene", "id": "s9"}
    metadata = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in told.items())
    file = make_scene(pixels(seed=9)).read_bytes()
    assert http.put("/v1/scenes/s9", content=file).status_code == 201
    begun = http.post("/v1/uploads", headers={"Upload-Length": str(len(file)), "Upload-Metadata": metadata})
    url = begun.headers["location"]
    other = make_scene(pixels(seed=10)).read_bytes()
    assert len(other) == len(file)
    assert http.patch(url, content=other, headers={"Upload-Offset": "0"}).status_code == 409  # the name is taken
    http.delete("/v1/scenes/s9")
    assert http.head(url).headers["content-location"] == "/v1/scenes/s9"
    http.head(url)
    assert [entry["action"] for entry in entries(http)][-2:] == ["DELETE /v1/scenes/s9", f"HEAD {url}"]
    assert entries(http)[-1]["made"] == "s9"


@pytest.mark.parametrize(
    ("told", "peer"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("=1+1", None),
        ("x" * 500, None),
        ("::1%x", None),
    ],
)
def test_the_peer_of_an_entry_is_an_address_or_nothing(
    http: httpx.Client, admin: str, told: str, peer: str | None
) -> None:
    assert http.patch("/v1/scenes/s1", json={"title": "武鸣"}, headers={"X-Forwarded-For": told}).status_code == 200
    assert entries(http)[-1]["peer"] == peer


def test_the_log_is_listed_in_pages_filtered_and_exported(http: httpx.Client, admin: str) -> None:
    for name in ("a", "b", "c"):
        http.put(f"{MODEL}/aliases/{name}", json={"version": 1})
    mine = {"limit": "2", "who": f"key {admin}"}
    first = http.get("/v1/audit", params=mine)
    rest = http.get("/v1/audit", params=mine | {"token": first.json()["next"]}).json()
    assert [len(first.json()["items"]), len(rest["items"]), rest["next"]] == [2, 1, None]
    assert len(entries(http, who=f"key {admin}")) == 3 and entries(http, who="key other") == []
    assert len(entries(http, datetime="2026-01-01/..")) == 3 and entries(http, datetime="../2026-01-01") == []
    table = http.get("/v1/audit", params={"f": "csv", "limit": "2"})
    rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert [row["action"] for row in rows] == [f"PUT {MODEL}/aliases/{name}" for name in ("c", "b")]
    assert 'rel="next"' in table.headers["Link"]
    assert http.get("/v1/audit", params={"f": "csv", "lang": "zh"}).text.startswith("\ufeff时间,租户")


def test_a_tenant_sees_its_own_entries_and_the_operator_those_of_all(
    http: httpx.Client, admin: str, settings: Settings
) -> None:
    theirs = showing(make_key(settings, OTHER))
    assert http.post("/v1/keys", json={"name": "portal", "scope": "view"}, headers=theirs).status_code == 201
    http.put(f"{MODEL}/aliases/mine", json={"version": 1})
    mine = http.get("/v1/audit", headers=theirs).json()["items"]
    assert [(entry["tenant"], entry["action"]) for entry in mine] == [(OTHER, "POST /v1/keys")]
    assert http.get("/v1/audit", params={"tenant": "local"}, headers=theirs).json()["items"] == []
    assert {entry["tenant"] for entry in entries(http)} == {OTHER, "local"}
    assert [entry["tenant"] for entry in entries(http, tenant=OTHER)] == [OTHER]
    view = showing(make_key(settings, scope="approve"))
    assert http.get("/v1/audit", headers=view).status_code == 403


def test_a_schedule_is_named_and_what_jobs_do_by_themselves_is_not_told(
    http: httpx.Client, admin: str, settings: Settings
) -> None:
    training = {"dataset": "gx", "register_as": "new", "config": {"epochs": 1, "net": {"depth": 1, "width": 2}}}
    http.post("/v1/schedules", json={"name": "nightly", "cron": "0 2 * * *", "training": training})
    run = http.post("/v1/schedules/nightly/run").json()
    services = Services.open(settings)
    perform_all(services, ("light", "training", "prediction"), threading.Event())
    services.close()
    assert http.get(f"/v1/trainings/{run['training']}").json()["job"]["status"] == "successful"
    found = [(entry["action"], entry["made"]) for entry in entries(http)]
    assert found[:2] == [("POST /v1/schedules", "nightly"), ("POST /v1/schedules/nightly/run", run["training"])]
    eventually(lambda: entries(http)[-1]["who"] == "schedule nightly")
    assert {entry["who"] for entry in entries(http)} == {f"key {admin}", "schedule nightly"}


def test_an_entry_is_committed_with_its_change_or_not_at_all(settings: Settings) -> None:
    services = Services.open(settings)
    act, before = Act("key 1", "PUT /v1/x"), count(services)
    with pytest.raises(IntegrityError), acting(act), services.database.write() as session:
        session.add(Tenant(id="new"))
        session.flush()
        session.add(Tenant(id="local"))
    with acting(act), services.database.write() as session:
        assert session.get(Tenant, "new") is None
        IdempotentRequest("a", "b").earlier(session, "c")
    with acting(Act("key 1", "GET /v1/x", reads=True)), services.database.write() as session:
        session.get_one(Scene, "s1").title = "x"
    with services.database.write() as session:
        session.get_one(Scene, "s1").title = "y"
    assert count(services) == before
    with acting(act), services.database.write() as session:
        session.get_one(Scene, "s1").title = "z"
    assert count(services) == before + 1
    services.close()


def count(services: Services) -> int:
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(AuditEntry)) or 0
