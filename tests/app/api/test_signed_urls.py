"""Signed addresses: what they open, for how long, and nothing else."""

import base64
import io
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.access.scopes import Principal
from app.access.signatures import Signer
from app.core.db import Database
from app.settings import Settings
from tests.app.api.access import OTHER, make_key, showing


@pytest.fixture
def settings(trained: Settings) -> Settings:
    return trained.model_copy(update={"auth": "keys"})


@pytest.fixture
def key(settings: Settings) -> dict[str, str]:
    return showing(make_key(settings, scope="view"))


@pytest.fixture
def prediction(http: httpx.Client, key: dict[str, str]) -> str:
    id_: str = http.get("/v1/predictions", headers=key).json()["features"][0]["id"]
    return f"/v1/predictions/{id_}"


def sign(http: httpx.Client, key: dict[str, str], path: str, **body: int) -> str:
    answer = http.post("/v1/signed-urls", headers=key, json={"path": path, **body})
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["url"]
    return url


def test_a_file_can_be_read_without_a_key(http: httpx.Client, key: dict[str, str], prediction: str) -> None:
    url = sign(http, key, f"{prediction}/classes.tif")
    assert http.get(url).content == http.get(f"{prediction}/classes.tif", headers=key).content
    assert http.head(url).status_code == 200
    assert http.get(url, headers={"Range": "bytes=0-9"}).status_code == 206
    for other in (f"{prediction}/probability.tif", "/v1/scenes", prediction, f"{prediction}/classes.tif/"):
        assert http.get(f"{other}?{url.partition('?')[2]}").json()["type"] == "unknown-signature", other
    assert http.delete(f"{prediction}?{url.partition('?')[2]}").status_code == 401
    assert http.delete(url).status_code == 401


def test_a_map_program_goes_from_a_tilejson_to_all_tiles_of_the_map(
    http: httpx.Client, key: dict[str, str], prediction: str
) -> None:
    for path in (f"{prediction}/tilejson.json", "/v1/scenes/s1/tilejson.json"):
        described = http.get(sign(http, key, path)).json()
        west, south, east, north = described["bounds"]
        assert west < east and south < north
        tile = described["tiles"][0].format(z=0, x=0, y=0)
        assert http.get(tile).status_code in (200, 404)
        assert http.get(tile.partition("?")[0]).json()["type"] == "no-key"
        assert http.get(tile.replace("/tiles/", "/data/")).status_code == 401
    template = sign(http, key, f"{prediction}/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}.png")
    assert http.get(template.format(z=0, x=0, y=0)).status_code in (200, 404)


def test_a_changed_or_expired_signature_is_refused(
    http: httpx.Client, key: dict[str, str], prediction: str, settings: Settings
) -> None:
    path = f"{prediction}/classes.tif"
    body, _, mac = sign(http, key, path).partition("signature=")[2].partition(".")
    content = base64.urlsafe_b64decode(body + "==").decode()
    assert '"local"' in content
    foreign = base64.urlsafe_b64encode(content.replace("local", OTHER).encode()).decode().rstrip("=")
    for wrong in (f"{foreign}.{mac}", f"{body}.{mac[::-1]}", body, "", ".", f"{body}.é"):
        assert http.get(path, params={"signature": wrong}).status_code == 401, wrong
    signer = Signer(Database(settings.database))
    ended, _ = signer.sign(Principal(), path, timedelta(seconds=-1))
    assert http.get(path, params={"signature": ended}).json()["type"] == "expired-signature"
    signer.database.close()


def test_it_ends_with_the_key_that_asked_for_it(
    http: httpx.Client, settings: Settings, key: dict[str, str], prediction: str
) -> None:
    url = sign(http, key, f"{prediction}/classes.tif")
    assert http.get(url).status_code == 200
    admin = showing(make_key(settings))
    assert http.delete(f"/v1/keys/{key['Authorization'].split('_')[1]}", headers=admin).status_code == 204
    assert http.get(url).status_code == 401


def test_it_shows_what_its_tenant_sees(http: httpx.Client, settings: Settings, prediction: str) -> None:
    url = sign(http, showing(make_key(settings, OTHER)), f"{prediction}/classes.tif")
    assert http.get(url).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/scenes", "/v1/scenes/s1", "/v1/keys/1/x", "/v1/models/cane/aliases/champion", "https://evil.example/x"),
        *("/v1/scenes/../keys/x", "/v1/scenes/s1/data?x=1", "//evil.example/v1/scenes/s1/data", "/metrics"),
    ],
)
def test_other_paths_cannot_be_signed(http: httpx.Client, key: dict[str, str], path: str) -> None:
    answer = http.post("/v1/signed-urls", headers=key, json={"path": path})
    assert (answer.status_code, answer.json()["type"]) == (422, "invalid-path")


def test_it_is_valid_for_an_hour_at_most(http: httpx.Client, key: dict[str, str], prediction: str) -> None:
    answer = http.post("/v1/signed-urls", headers=key, json={"path": f"{prediction}/classes.tif", "expires_s": 3601})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/expires_s")


def test_no_log_has_the_signature(
    http: httpx.Client, key: dict[str, str], prediction: str, log: io.StringIO, tmp_path: Path
) -> None:
    url = sign(http, key, f"{prediction}/classes.tif")
    http.get(url)
    http.get(url.replace("classes", "other"))
    assert "classes.tif" in log.getvalue() and url.partition("signature=")[2] not in log.getvalue()
