"""The matrix of all routes and all kinds of senders, which is made from the routes of the app."""

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.access.scopes import SCOPES
from app.api.http import access
from app.api.http.access import OPERATORS, ROUTES, check_routes
from app.api.http.heads import routes_of
from app.core import tenancy
from app.core.columns import Base
from app.core.db import Database
from app.main import create_app
from app.settings import Settings
from app.tables import Key
from tests.app.api.access import OTHER, make_key, showing
from tests.app.api.conftest import serving

USE = {Key.__table__.c.last_used}
REFUSED = ("none", "malformed", "unknown", "revoked", "expired")
ANSWERS = {
    "none": "no-key",
    "malformed": "unknown-key",
    "unknown": "unknown-key",
    "revoked": "unknown-key",
    "expired": "expired-key",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "keys"})


@pytest.fixture
def senders(http: httpx.Client, settings: Settings) -> dict[str, dict[str, str]]:
    """The headers of each kind of sender, by its name."""
    admin = make_key(settings)
    revoked = make_key(settings)
    id_ = revoked.split("_")[1]
    assert http.delete(f"/v1/keys/{id_}", headers=showing(admin)).status_code == 204
    stranger = make_key(settings)
    return {
        "none": {},
        "malformed": {"Authorization": "Basic YTpi"},
        "unknown": showing(stranger[:12] + stranger[12:][::-1]),
        "revoked": showing(revoked),
        "expired": showing(make_key(settings, lifetime=timedelta(0))),
        **{scope: showing(make_key(settings, scope=scope)) for scope in SCOPES},
        "other": showing(make_key(settings, OTHER)),
    }


def requests(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """The name of each route, one of its methods, and a path that names nothing."""
    for route in routes_of(app):
        pattern = (route.path or "").replace("{kind}", "trainings")
        for method in sorted(route.methods or ()):
            yield str(getattr(route.original_route, "name", "")), method, re.sub(r"\{[^}]*\}", "0", pattern)


def expected(name: str, sender: str) -> tuple[int, str] | None:
    """The status and the code with which the sender is refused on the route; None if it is let in."""
    needed = ROUTES[name]
    if sender in REFUSED and (needed is not None or sender != "none"):
        return 401, ANSWERS[sender]
    if needed is None or sender in REFUSED:
        return None
    scope = "admin" if sender == "other" else sender
    if SCOPES.index(scope) < SCOPES.index(needed) or (sender == "other" and name in OPERATORS):
        return 403, "missing-scope"
    return None


def wrong(http: httpx.Client, senders: dict[str, dict[str, str]], app: FastAPI, which: tuple[str, ...]) -> list[str]:
    """The cells of the matrix that are not as expected. which: the senders to try."""
    found = []
    for name, method, path in requests(app):
        for sender in which:
            answer = http.request(method, path, headers=senders[sender])
            got = (answer.status_code, "") if answer.status_code in (401, 403) else None
            if got and method != "HEAD":
                got = (answer.status_code, answer.json()["type"])
            want = expected(name, sender)
            if want and method == "HEAD":
                want = (want[0], "")
            if got != want:
                found.append(f"{sender} {method} {path}: {got}, not {want}")
    return found


def everything(settings: Settings) -> dict[str, list[str]]:
    """All rows of all tables but the times of use of keys, and all files of the store."""
    database = Database(settings.database)
    with tenancy.acting_for(tenancy.ALL), database.read() as session:
        rows = {
            table.name: sorted(map(str, session.execute(select(*(set(table.columns) - USE))).all()))
            for table in Base.metadata.sorted_tables
            if table.name != "workers"
        }
    database.close()
    store = settings.data_dir / "store"
    return rows | {"files": sorted(str(path) for path in store.rglob("*") if path.is_file())}


def test_every_cell_of_the_matrix(http: httpx.Client, senders: dict[str, dict[str, str]], settings: Settings) -> None:
    app = create_app(settings)
    before = everything(settings)
    assert wrong(http, senders, app, (*REFUSED, "view")) == []
    assert everything(settings) == before  # those change nothing, whatever they send
    assert wrong(http, senders, app, ("operate", "train", "approve", "admin", "other")) == []


def test_the_matrix_notices_a_wrong_mark(
    http: httpx.Client, senders: dict[str, dict[str, str]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings)
    marks = dict(ROUTES)
    monkeypatch.setattr("tests.app.api.test_authorisation.ROUTES", marks)
    paths = {"put_scene": "/v1/scenes/0", "list_keys": "/v1/keys", "rotate_key": "/v1/keys/0/rotate"}
    for name in paths:
        monkeypatch.setitem(access.ROUTES, name, "view")
    found = wrong(http, senders, app, ("none", "view"))
    assert {line.split(" ")[2] for line in found} == {f"{path}:" for path in paths.values()}


def test_without_a_key_no_body_is_read_and_no_path_is_told_from_another(http: httpx.Client) -> None:
    for method, path, body in (
        ("POST", "/v1/trainings", b"{no json"),
        ("PUT", "/v1/scenes/x", b"II*\0"),
        ("GET", "/v1/nothing", b""),
        ("DELETE", "/v1/scenes", b""),
    ):
        answer = http.request(method, path, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["type"]) == (401, "no-key"), path
    for path in ("/openapi.json", "/docs", "/healthz"):
        assert http.get(path).status_code == 200, path


def test_who_is_not_let_in_is_told_so_in_chinese(http: httpx.Client) -> None:
    answer = http.get("/v1/scenes", headers={"Accept-Language": "zh-CN"})
    assert answer.status_code == 401 and "密钥" in answer.json()["detail"]
    foreign = http.get("/v1/scenes", headers={"Accept-Language": "zh-CN", "Host": "evil.example"})
    assert foreign.status_code == 400 and "服务" in foreign.json()["detail"]


def test_an_app_with_an_unmarked_route_does_not_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(settings)
    app.get("/v1/new")(lambda: None)
    with pytest.raises(RuntimeError, match="<lambda>"):
        check_routes(app)
    monkeypatch.delitem(access.ROUTES, "put_scene")
    with pytest.raises(RuntimeError, match="put_scene"):
        create_app(settings)


def test_loopback_needs_no_key_unless_a_proxy_sent_the_request(settings: Settings) -> None:
    with serving(settings.model_copy(update={"auth": ""})) as http:
        assert http.get("/v1/scenes").status_code == 200
        assert http.get("/v1/scenes", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 401
        assert http.get("/v1/scenes", headers={"Forwarded": "for=203.0.113.7"}).status_code == 401
        # a webhook whose address is this service, where whoever runs it lets webhooks lead to the loopback
        assert http.post("/v1/uploads", headers={"webhook-id": "evt_1"}).status_code == 401
    with serving(settings.model_copy(update={"auth": "", "public_url": "https://maps.example.org"})) as http:
        assert http.get("/v1/scenes").status_code == 401
    with serving(settings.model_copy(update={"auth": "none"})) as http:
        assert http.get("/v1/scenes", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 200
