"""Requests that go on while their key is revoked end soon: streams, waiting, downloads and uploads."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from tests.app.api.access import OTHER, make_key, showing


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("app.api.http.lasting.TRUSTED_S", 0.0)  # of every message
    return settings.model_copy(update={"auth": "keys", "upload_idle_s": 60.0})


@pytest.fixture
def admin(settings: Settings) -> dict[str, str]:
    return showing(make_key(settings, OTHER))


@pytest.fixture
def key(settings: Settings) -> str:
    return make_key(settings, OTHER)


def revoke(http: httpx.Client, admin: dict[str, str], key: str) -> None:
    with httpx.Client(base_url=http.base_url) as other:
        assert other.delete(f"/v1/keys/{key.split('_')[1]}", headers=admin).status_code == 204


def test_a_stream_of_events_ends(http: httpx.Client, services: Services, admin: dict[str, str], key: str) -> None:
    from app.core import tenancy

    with tenancy.acting_for(OTHER), services.database.write() as session:
        lifecycle.create(session, "trn_1", "training")
    with http.stream("GET", "/v1/jobs/trn_1/events", headers=showing(key)) as stream:
        lines = stream.iter_lines()
        assert next(lines)
        revoke(http, admin, key)
        with tenancy.acting_for(OTHER), services.database.write() as session:
            lifecycle.dismiss(session, "trn_1")
        with pytest.raises(httpx.RemoteProtocolError):
            for line in lines:
                assert "dismissed" not in line


def test_who_waits_for_a_job_is_told_nothing(
    http: httpx.Client, services: Services, admin: dict[str, str], key: str
) -> None:
    from app.core import tenancy

    with tenancy.acting_for(OTHER), services.database.write() as session:
        lifecycle.create(session, "trn_1", "training")
    told: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: told.append(http.get("/v1/jobs/trn_1?wait=60", headers=showing(key))))
    waiting.start()
    time.sleep(0.5)
    revoke(http, admin, key)
    with tenancy.acting_for(OTHER), services.database.write() as session:
        lifecycle.dismiss(session, "trn_1")
    waiting.join()
    assert (told[0].status_code, told[0].json()["type"]) == (401, "unknown-key")


def test_no_more_of_an_upload_is_taken(http: httpx.Client, admin: dict[str, str], key: str) -> None:
    upload = http.post("/v1/uploads", headers=showing(key)).headers["Location"]
    revoked = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"a" * 1000
        time.sleep(0.3)
        revoke(http, admin, key)
        revoked.set()
        yield b"b" * 1000
        yield b"c" * 1000

    headers = {**showing(key), "Upload-Offset": "0", "Content-Type": "application/octet-stream"}
    refused = http.patch(upload, content=body(), headers=headers)
    assert revoked.is_set() and (refused.status_code, refused.json()["type"]) == (401, "unknown-key")
    assert int(http.head(upload, headers=admin).headers["Upload-Offset"]) <= 1000


def test_what_was_changed_is_answered(http: httpx.Client, admin: dict[str, str], key: str) -> None:
    answer = http.delete(f"/v1/keys/{key.split('_')[1]}", headers=showing(key))
    assert answer.status_code == 204
    assert http.get("/v1/whoami", headers=showing(key)).status_code == 401
