"""Keys over HTTP: made, shown once, listed, rotated, revoked and recorded."""

import time
from datetime import timedelta

import httpx
import pytest

from app.access.keyring import Keyring
from app.core import tenancy
from app.core.db import Database
from app.settings import Settings
from app.tables import Key
from tests.app.api.access import OTHER, make_key, showing


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "keys"})


@pytest.fixture
def admin(settings: Settings) -> dict[str, str]:
    return showing(make_key(settings))


def test_a_new_key_lets_in_at_once_and_is_shown_once(http: httpx.Client, admin: dict[str, str]) -> None:
    http.put(f"/v1/tenants/{OTHER}", headers=admin, json={"title": "南宁"})
    body = {"name": "门户", "tenant": OTHER, "scope": "operate", "expires": "90d"}
    made = http.post("/v1/keys", headers=admin, json=body)
    assert made.status_code == 201 and made.headers["Cache-Control"] == "no-store"
    key = made.json()["key"]
    assert key.startswith(f"cm_{made.json()['id']}_") and len(key) == 3 + 8 + 1 + 43
    who = http.get("/v1/whoami", headers=showing(key)).json()
    assert who == {"tenant": OTHER, "scope": "operate", "key": made.json()["id"], "grants": []}
    listed = http.get("/v1/keys", headers=admin).text
    assert made.json()["id"] in listed and key not in listed and key.split("_")[2] not in listed


def test_only_the_hash_of_a_key_is_stored(http: httpx.Client, settings: Settings) -> None:
    key = make_key(settings)
    database = Database(settings.database)
    with tenancy.acting_for(tenancy.ALL), database.read() as session:
        row = session.get_one(Key, key.split("_")[1])
    database.close()
    assert key.split("_")[2] not in str(vars(row))


def test_a_typing_error_in_a_key_is_refused(http: httpx.Client, settings: Settings) -> None:
    key = make_key(settings)
    for wrong in (key[:-1], key + "0", key[:-1] + ("0" if key[-1] != "0" else "1"), key.upper(), f" {key[1:]}"):
        answer = http.get("/v1/whoami", headers=showing(wrong))
        assert (answer.status_code, answer.json()["type"]) == (401, "unknown-key"), wrong
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert key.split("_")[2] not in answer.text


def test_a_revoked_key_is_refused_at_once_here_and_soon_elsewhere(
    http: httpx.Client, settings: Settings, admin: dict[str, str]
) -> None:
    key = make_key(settings)
    elsewhere = Keyring(Database(settings.database))
    assert elsewhere.find(key) and elsewhere.remembered(key)
    assert http.get("/v1/whoami", headers=showing(key)).status_code == 200
    assert http.delete(f"/v1/keys/{key.split('_')[1]}", headers=admin).status_code == 204
    assert http.get("/v1/whoami", headers=showing(key)).json()["type"] == "unknown-key"
    end = time.monotonic() + 10
    while elsewhere.remembered(key) and time.monotonic() < end:
        time.sleep(0.1)
    assert elsewhere.remembered(key) is None
    elsewhere.database.close()


def test_a_rotated_key_and_its_successor_are_both_valid_for_a_time(
    http: httpx.Client, settings: Settings, admin: dict[str, str]
) -> None:
    old = make_key(settings, OTHER, "train", timedelta(days=30))
    made = http.post(f"/v1/keys/{old.split('_')[1]}/rotate", headers=admin, json={"overlap": "1h"}).json()
    for key in (old, made["key"]):
        assert http.get("/v1/whoami", headers=showing(key)).json()["scope"] == "train"
    rows = {row["id"]: row for row in http.get("/v1/keys", headers=admin).json()["items"]}
    assert rows[old.split("_")[1]]["expires"] < rows[made["id"]]["expires"]
    http.delete(f"/v1/keys/{made['id']}", headers=admin)
    again = http.post(f"/v1/keys/{made['id']}/rotate", headers=admin)
    assert (again.status_code, again.json()["type"]) == (409, "key-ended")


def test_the_admin_of_a_tenant_sees_and_makes_its_keys_alone(
    http: httpx.Client, settings: Settings, admin: dict[str, str]
) -> None:
    theirs = showing(make_key(settings, OTHER))
    listed = http.get("/v1/keys", headers=theirs).json()["items"]
    assert {row["tenant"] for row in listed} == {OTHER}
    assert http.post("/v1/keys", headers=theirs, json={"name": "x", "scope": "view"}).json()["tenant"] == OTHER
    foreign = http.post("/v1/keys", headers=theirs, json={"name": "x", "scope": "view", "tenant": "local"})
    unknown = http.post("/v1/keys", headers=theirs, json={"name": "x", "scope": "view", "tenant": "nobody"})
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.text.replace("local", "nobody") == unknown.text
    local = next(row["id"] for row in http.get("/v1/keys", headers=admin).json()["items"] if row["tenant"] == "local")
    for answer in (
        http.get(f"/v1/keys/{local}", headers=theirs),
        http.delete(f"/v1/keys/{local}", headers=theirs),
        http.post(f"/v1/keys/{local}/rotate", headers=theirs),
        http.get("/v1/tenants/local", headers=theirs),
    ):
        assert answer.status_code == 404
    assert http.get("/v1/whoami", headers=admin).status_code == 200


def test_the_use_of_a_key_is_recorded(http: httpx.Client, settings: Settings) -> None:
    key = make_key(settings)
    keyring = Keyring(Database(settings.database))
    keyring.find(key)
    keyring.record()
    row = http.get(f"/v1/keys/{key.split('_')[1]}", headers=showing(key)).json()
    assert row["last_used"] is not None and row["status"] == "live"
    keyring.database.close()


@pytest.mark.parametrize(
    "body", [{}, {"name": "x"}, {"name": "x", "scope": "root"}, {"name": "x", "scope": "view", "expires": "forever"}]
)
def test_a_wrong_body_makes_no_key(http: httpx.Client, admin: dict[str, str], body: dict[str, str]) -> None:
    before = http.get("/v1/keys", headers=admin).json()
    assert http.post("/v1/keys", headers=admin, json=body).status_code == 422
    assert len(http.get("/v1/keys", headers=admin).json()["items"]) == len(before["items"])
