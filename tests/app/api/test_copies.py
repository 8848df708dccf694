"""A client that has the newest copy of anything is told so: each GET that sends an ETag honours If-None-Match."""

import re
from collections.abc import Iterator

import httpx
import pytest

from app.api.http.heads import routes_of
from app.main import create_app
from app.settings import Settings


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service that has scenes, labels, a dataset, a model and a prediction, on both databases."""
    return trained


def values_of(http: httpx.Client, path: str, name: str) -> str:
    """A value of a parameter of a path, of something that is there."""
    fixed = {
        "version": "1",
        "which": "1",
        "z": "12",
        "x": "0",
        "y": "0",
        "format": "png",
        "alias": "champion",
        "name": "splits.png",
        "product": "classes.tif",
        "filename": "seal.png",
    }
    if name != "id":
        return fixed.get(name, "x")
    kind = path.split("/")[2]
    if kind == "models":
        return "cane"
    if kind == "stac":
        return "scenes"
    listed = http.get(f"/v1/{kind}").json()
    items = listed.get("items", listed.get("features", []))
    return str(items[0].get("id", items[0].get("name"))) if items else "x"


def addresses(http: httpx.Client, settings: Settings) -> Iterator[str]:
    """An address of each GET route that is no stream of events."""
    app = create_app(settings)
    for path in sorted({route.path or "" for route in routes_of(app) if "GET" in (route.methods or ())}):
        if "events" not in path:
            names = re.findall(r"{(\w+)[^}]*}", path)
            yield re.sub(r"{\w+[^}]*}", "{}", path).format(*(values_of(http, path, name) for name in names))


def test_every_get_with_an_etag_honours_if_none_match_and_if_range(http: httpx.Client, settings: Settings) -> None:
    seen = set[str]()
    for address in addresses(http, settings):
        first = http.get(address)
        if first.status_code != 200 or "etag" not in first.headers:
            continue
        tag, kind = first.headers["etag"], first.headers["content-type"].partition(";")[0]
        seen.add(kind)
        for asked in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            for method in ("GET", "HEAD"):
                again = http.request(method, address, headers={"If-None-Match": asked})
                assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), address
                assert "content-type" not in again.headers
        for asked in ('"other"', tag.strip('"'), ""):
            other = http.get(address, headers={"If-None-Match": asked})
            assert (other.status_code, other.headers["etag"]) == (200, tag), address
        if "accept-ranges" in first.headers:
            part = {"Range": "bytes=0-3"}
            assert http.get(address, headers=part | {"If-Range": tag}).content == first.content[:4]
            assert http.get(address, headers=part | {"If-Range": '"other"'}).content == first.content
            assert http.get(address, headers=part | {"If-None-Match": tag}).status_code == 304
    assert {"application/json", "application/geo+json", "image/png", "image/tiff"} <= seen


def test_a_document_that_tells_something_else_has_another_etag_and_the_same_revision(http: httpx.Client) -> None:
    english, chinese = (http.get("/v1/scenes/s1", headers={"Accept-Language": tag}) for tag in ("en", "zh"))
    tags = {answer.headers["etag"] for answer in (english, chinese)}
    assert len({tag.rpartition(".")[0] for tag in tags}) == 1
    asked = {"If-None-Match": english.headers["etag"], "Accept-Language": "en"}
    assert http.get("/v1/scenes/s1", headers=asked).status_code == 304
    changed = http.patch("/v1/scenes/s1", json={"title": "one"}, headers={"If-Match": english.headers["etag"]})
    assert changed.status_code == 200
    assert http.get("/v1/scenes/s1", headers=asked).status_code == 200
