"""Secrets that are sent to all places where a program may put them: nothing keeps or tells them; on both databases."""

import io

import httpx
import pytest

from app.core.masking import masked
from app.settings import Settings
from tests.app.api.access import make_key, showing
from tests.app.api.test_authorisation import everything

TOLD = ("/v1/audit", "/v1/keys", "/v1/webhooks", "/v1/jobs", "/v1/scenes", "/v1/tenants", "/metrics", "/v1", "/")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "keys"})


def test_a_key_that_is_sent_anywhere_is_kept_and_told_nowhere(
    http: httpx.Client, settings: Settings, log: io.StringIO
) -> None:
    key = make_key(settings)
    secret = key.rpartition("_")[2]
    mine = showing(key)
    sent = [
        http.get("/v1/scenes", headers=mine),
        http.get(f"/v1/scenes?key={key}", headers=mine),
        http.get(f"/v1/scenes/{key}", headers=mine),
        http.get(f"/{key}", headers=mine),
        http.get("/v1/scenes", headers={"Authorization": f"Basic {key}"}),
        http.get("/v1/scenes", headers={"Authorization": f"Bearer {key[:-1]}"}),
        http.get("/v1/scenes", headers=mine | {"Cookie": f"key={key}", "X-Api-Key": key, "User-Agent": key}),
        http.get(f"http://x:{key}@{http.base_url.netloc.decode()}/v1/scenes"),
        http.put(f"/v1/scenes/{key}", content=b"no tiff", headers=mine),
        http.post("/v1/predictions", json={"scene": key, "model": key}, headers=mine),
        http.post("/v1/predictions", json={key: key}, headers=mine),
        http.request("DELETE", f"/v1/models/{key}", headers=mine | {"If-Match": f'"{key}"'}),
        http.put(f"/v1/tenants/{key[:20]}", json={"title": "x"}, headers=mine),
        http.get("/v1/scenes", headers={"Host": f"{secret}.example", **mine}),
    ]
    url = http.post("/v1/signed-urls", json={"path": "/v1/scenes/s1/data"}, headers=mine).json()["url"]
    signature = url.partition("signature=")[2]
    sent += [http.get(url), http.get(url.replace("data", "preview.png"))]
    assert {answer.status_code for answer in sent} >= {200, 400, 401, 404, 422}
    told = [http.get(path, headers=mine).text for path in TOLD]
    assert all(secret not in text for text in told)
    assert secret not in str(everything(settings))
    written = log.getvalue()
    assert "/v1/scenes/cm_" in written and secret not in written and signature not in written


def test_the_secret_of_a_webhook_is_told_once(http: httpx.Client, settings: Settings, log: io.StringIO) -> None:
    mine = showing(make_key(settings))
    made = http.post("/v1/webhooks", json={"url": "https://portal.example.org/x"}, headers=mine)
    secret: str = made.json()["secret"]
    http.get(f"/v1/webhooks/{secret}", headers=mine)
    assert all(secret not in http.get(path, headers=mine).text for path in TOLD)
    written = log.getvalue()
    assert "/v1/webhooks/whsec_..." in written and secret not in written


def test_only_the_secret_part_is_masked() -> None:
    assert masked("GET /v1/cm_4f7hq2x9_" + "a" * 43 + "/x") == "GET /v1/cm_4f7hq2x9_.../x"
    assert masked("whsec_" + "b" * 32) == "whsec_..." and masked("cm_2018 and whsec_x") == "cm_2018 and whsec_x"
