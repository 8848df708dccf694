"""Which web pages of other sites may read answers, and that they still change nothing."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from app.settings import Settings
from tests import servers
from tests.app.api.access import make_key, showing
from tests.app.api.conftest import put, serving

MAPS, EVIL = "https://maps.example.org", "https://evil.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture
def database_url(migrated_sqlite: str, tmp_path: Path) -> Iterator[str]:
    """Only SQLite: this has nothing to do with the database."""
    with servers.copy_of(migrated_sqlite, tmp_path) as url:
        yield url


@pytest.fixture
def shared(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service that lets the pages of one site read."""
    with serving(settings.model_copy(update={"cors_origins": f"{MAPS}, http://localhost:3000"})) as http:
        yield http


def test_no_page_of_another_site_may_read_by_default(http: httpx.Client) -> None:
    answer = http.get("/v1/scenes", headers={"Origin": MAPS})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert http.options("/v1/scenes", headers={"Origin": MAPS} | ASKS).status_code == 405


def test_pages_of_named_sites_may_read_and_all_others_may_not(shared: httpx.Client, scene: Path) -> None:
    put(shared, "/v1/scenes/s1", scene)
    for path in ("/v1/scenes", "/v1/scenes/s1/data", "/v1/scenes/none"):
        answer = shared.get(path, headers={"Origin": MAPS, "Range": "bytes=0-9"})
        assert answer.headers["access-control-allow-origin"] == MAPS
        assert "Content-Range" in answer.headers["access-control-expose-headers"]
        for others in ({}, {"Origin": EVIL}, {"Origin": "null"}):
            answer = shared.get(path, headers=others)
            assert "access-control-allow-origin" not in answer.headers
            assert "Origin" in answer.headers["vary"]  # else a cache could give this answer to the pages of MAPS


def test_a_page_of_a_named_site_may_search_and_change_nothing(shared: httpx.Client, scene: Path) -> None:
    allowed = shared.options("/v1/stac/search", headers={"Origin": MAPS} | ASKS)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, MAPS)
    assert "Content-Type" in allowed.headers["access-control-allow-headers"]
    found = shared.post("/v1/stac/search", json={}, headers={"Origin": MAPS, "Sec-Fetch-Site": "cross-site"})
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, MAPS)
    for method, path in (("PUT", "/v1/scenes/s1"), ("POST", "/v1/datasets"), ("DELETE", "/v1/scenes/s1")):
        refused = shared.request(method, path, content=scene.read_bytes(), headers={"Origin": MAPS})
        assert (refused.status_code, refused.json()["type"]) == (403, "foreign-origin")
    assert "access-control-allow-origin" not in shared.options("/v1/scenes", headers={"Origin": EVIL} | ASKS).headers


def test_a_page_of_a_named_site_may_upload_with_a_key_also_where_others_need_none(
    shared: httpx.Client, settings: Settings, scene: Path
) -> None:
    """As Uppy does, which speaks tus."""
    content, key = scene.read_bytes(), showing(make_key(settings, scope="operate"))
    asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "tus-resumable"}
    allowed = shared.options("/v1/uploads/x", headers={"Origin": MAPS} | asks)
    assert "PATCH" in allowed.headers["access-control-allow-methods"]
    may_send = {name.strip().lower() for name in allowed.headers["access-control-allow-headers"].split(",")}
    kind = "kind c2NlbmU=,id czE="
    begin = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(content)), "Upload-Metadata": kind}
    page = {"Origin": MAPS, "Sec-Fetch-Site": "cross-site"}
    for refused, status in ((page, 401), (page | showing("cm_nonsense"), 401), (key | {"Origin": EVIL}, 403)):
        assert shared.post("/v1/uploads", headers=begin | refused).status_code == status
    begun = shared.post("/v1/uploads", headers=begin | page | key)
    piece = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    sent = shared.patch(begun.headers["location"], content=content, headers=piece | page | key)
    assert (begun.status_code, sent.status_code) == (201, 204)
    assert {name.lower() for name in (*begin, *piece, *key)} <= may_send
    for answer in (begun, sent):
        assert answer.headers["access-control-allow-origin"] == MAPS
        may_read = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
        told = {name for name in answer.headers if name.startswith(("upload-", "tus-", "location", "content-location"))}
        assert told <= may_read
    assert shared.get(sent.headers["content-location"]).status_code == 200
    assert shared.put("/v1/scenes/s2", content=content, headers=page | key).status_code == 403, "and nothing else"


def test_every_answer_says_that_all_pages_may_read_it_if_they_may(settings: Settings) -> None:
    with serving(settings.model_copy(update={"cors_origins": "*"})) as http:
        for headers in ({}, {"Origin": EVIL}, {"Origin": "null"}):
            assert http.get("/v1/stac", headers=headers).headers["access-control-allow-origin"] == "*"
        assert http.post("/v1/datasets", json={}, headers={"Origin": EVIL}).status_code == 403
        assert http.post("/v1/uploads", headers={"Origin": EVIL}).status_code == 401


@pytest.mark.parametrize(
    "wrong", ["maps.example.org", f"{MAPS}/", f"{MAPS}/map", "ftp://x", "https://", f"{MAPS} {EVIL}"]
)
def test_what_is_no_origin_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValidationError, match="origins without a path"):
        Settings(cors_origins=wrong)
    assert Settings(cors_origins=f" {MAPS},*").origins == (MAPS, "*")
