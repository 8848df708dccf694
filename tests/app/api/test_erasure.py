"""A tenant is erased with all its rows and files, and nothing of another one; on both databases."""

import secrets
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, text

from app.core import tenancy
from app.core.columns import Base
from app.services import Services
from app.settings import Settings
from app.upkeep import erasure
from tests.app.api.access import OTHER, make_key, showing
from tests.app.api.conftest import pixels, put
from tests.ml.conftest import write_scene
from tests.waiting import eventually

PATH = f"/v1/tenants/{OTHER}"


@pytest.fixture
def settings(trained: Settings) -> Settings:
    return trained.model_copy(update={"auth": "keys"})


@pytest.fixture
def theirs(http: httpx.Client, settings: Settings, tmp_path: Path) -> dict[str, str]:
    """The headers of a tenant with a scene, a model that it was given, and a job. `http` is the operator."""
    http.headers.update(showing(make_key(settings)))
    headers = showing(make_key(settings, OTHER))
    with httpx.Client(base_url=http.base_url, timeout=60, headers=headers) as client:
        assert put(client, "/v1/scenes/field", write_scene(tmp_path / "field.tif", pixels(seed=9))).status_code == 201
        assert http.put(PATH, json={"grants": ["local~cane"]}).status_code == 200
        made = client.post("/v1/predictions", json={"scene": "field", "model": "local~cane"})
        assert made.status_code == 201, made.text
    return headers


def files_of(settings: Settings, tenant: str) -> list[str]:
    store = settings.data_dir / "store"
    return [str(path) for path in store.rglob("*") if path.is_file() and f"{tenant}@" in str(path)]


def test_a_tenant_with_something_is_erased_only_with_cascade_and_then_wholly(
    http: httpx.Client, theirs: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = http.delete(PATH)
    assert (refused.status_code, refused.json()["type"]) == (409, "tenant-in-use")
    assert "scenes: 1, predictions: 1, model versions: 1" in refused.json()["detail"]
    assert http.get("/v1/scenes", headers=theirs).status_code == 200
    own, files = http.get("/v1/scenes").text, files_of(settings, OTHER)
    assert files
    closing = http.delete(PATH, params={"cascade": "true"})
    assert (closing.status_code, closing.json()["type"]) == (409, "tenant-closing")
    assert http.get("/v1/scenes", headers=theirs).status_code == 401
    monkeypatch.setattr(erasure, "PAUSE_S", 0.1)
    eventually(lambda: http.delete(PATH, params={"cascade": "true"}).status_code == 204, seconds=30)
    assert http.get(PATH).status_code == 404 and http.get("/v1/scenes").text == own
    assert files_of(settings, OTHER) == []
    services = Services.open(settings)
    with tenancy.acting_for(tenancy.ALL), services.database.read() as session:
        for table in Base.metadata.sorted_tables:
            if "tenant" in table.columns:
                assert session.scalar(select(table.c.tenant).where(table.c.tenant == OTHER).limit(1)) is None, (
                    table.name
                )
        assert session.scalar(text("SELECT count(*) FROM model_versions")) == 1
    services.close()


def test_what_cannot_be_erased_is_refused(http: httpx.Client, theirs: dict[str, str]) -> None:
    assert http.delete("/v1/tenants/local", params={"cascade": "true"}).json()["type"] == "local-stays"
    assert http.delete(f"/v1/tenants/{secrets.token_hex(4)}").status_code == 404
    assert http.delete(PATH, params={"cascade": "true"}, headers=theirs).status_code == 403
    assert http.delete(PATH, params={"cascade": "true"}, headers={"If-Match": '"old"'}).status_code == 412
    http.put("/v1/tenants/empty", json={})
    assert http.delete("/v1/tenants/empty").status_code == 204
