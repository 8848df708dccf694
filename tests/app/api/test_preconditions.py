"""What a client says is heeded: If-Match on every route that changes something, Idempotency-Key on every POST."""

import json
from pathlib import Path

import httpx
import pytest

from app.api.http.deps import _head, _if_match
from app.main import create_app
from app.settings import Settings
from tests.app.api.conftest import put, zones_file
from tests.app.api.test_models import bundle as bundle
from tests.app.api.test_problems import assert_problem


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service that has scenes, labels, a dataset, a model and a prediction, on both databases."""
    return trained


@pytest.fixture
def url(http: httpx.Client, scene: Path, mask: Path, request: pytest.FixtureRequest) -> str:
    """The address of a new resource of the kind in `request.param`, which can be deleted and made again."""
    kind: str = request.param
    if kind == "scenes":
        assert put(http, "/v1/scenes/x", scene).status_code == 201
    elif kind == "labels":
        assert put(http, "/v1/labels/x", mask).status_code == 201
    elif kind == "zones":
        assert put(http, "/v1/zones/x", zones_file(mask.with_suffix(".geojson")), code_field="code").status_code == 201
    elif kind == "schedules":
        body = {"name": "x", "cron": "0 2 * * *", "training": {"dataset": "gx"}}
        assert http.post("/v1/schedules", json=body).status_code == 201
    elif kind == "aliases":
        assert http.put("/v1/models/cane/aliases/x", json={"version": 1}).status_code == 201
        return "/v1/models/cane/aliases/x"
    elif kind == "webhooks":
        return str(http.post("/v1/webhooks", json={"url": "https://[2400:3200::1]/"}).headers["location"])
    elif kind == "uploads":
        return str(http.post("/v1/uploads").headers["location"])
    elif kind in FIXED:
        return FIXED[kind]
    elif kind == "trainings":
        return f"/v1/trainings/{http.get('/v1/trainings').json()['items'][0]['id']}"
    else:
        return f"/v1/{kind}/{http.get('/v1/predictions').json()['features'][0]['id']}"
    return f"/v1/{kind}/x"


FIXED = {"datasets": "/v1/datasets/gx:1", "models": "/v1/models/cane", "versions": "/v1/models/cane/versions/1"}
KINDS = ["scenes", "labels", "zones", "schedules", "aliases", "webhooks", "uploads", "predictions", "jobs", "trainings"]
KINDS += FIXED


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_deletion_with_another_etag_is_refused(http: httpx.Client, url: str) -> None:
    tag = http.head(url).headers["etag"]
    for stale in ('"0-1"', '"99"', f"W/{tag}", f'"{tag}"', "nonsense", "", '"a", "b"', f"W/{tag}, W/{tag}", '"*"'):
        refused = http.delete(url, headers={"If-Match": stale})
        assert refused.status_code == 412, stale
        assert http.head(url).headers["etag"] == tag
    for right in (f'"other", {tag}', f"{tag} ,", "*"):
        answer = http.delete(url, headers={"If-Match": right})
        assert answer.status_code in (200, 204, 404, 409), right


@pytest.mark.parametrize("url", ["scenes", "labels", "schedules", "aliases"], indirect=True)
def test_what_was_deleted_and_made_again_has_another_etag(
    http: httpx.Client, url: str, scene: Path, mask: Path
) -> None:
    def make() -> httpx.Response:
        if "scenes" in url or "labels" in url:
            return put(http, url, scene if "scenes" in url else mask)
        if "aliases" in url:
            return http.put(url, json={"version": 1})
        return http.post("/v1/schedules", json={"name": "x", "cron": "0 2 * * *", "training": {"dataset": "gx"}})

    tags = [http.get(url).headers["etag"]]
    for _ in range(3):
        assert http.delete(url).status_code == 204
        assert make().status_code == 201
        tags.append(http.get(url).headers["etag"])
    assert len(set(tags)) == 4
    changes = {"scenes": {"sensor": "x"}, "schedules": {"enabled": False}, "aliases": {"version": 1}}
    method = "PUT" if "aliases" in url else "PATCH"
    for kind, body in changes.items():
        if kind in url:
            assert http.request(method, url, json=body, headers={"If-Match": tags[0]}).status_code == 412
            assert http.request(method, url, json=body, headers={"If-Match": tags[-1]}).status_code == 200
    assert http.delete(url, headers={"If-Match": tags[0]}).status_code == 412


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_a_put_heeds_if_match(http: httpx.Client, scene: Path, mask: Path, kind: str) -> None:
    file, url = scene if kind == "scenes" else mask, f"/v1/{kind}/new"
    absent = http.put(url, content=file.read_bytes(), headers={"If-Match": "*"})
    assert absent.status_code == 412, "there is nothing to match"
    assert http.get(url).status_code == 404
    tag = put(http, url, file).headers["etag"]
    assert tag == http.get(url).headers["etag"]
    assert http.put(url, content=file.read_bytes(), headers={"If-Match": '"x"'}).status_code == 412
    assert http.put(url, content=file.read_bytes(), headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_a_put_that_must_make_something_new_changes_nothing_that_is_there(
    http: httpx.Client, scene: Path, mask: Path, kind: str
) -> None:
    content, url = (scene if kind == "scenes" else mask).read_bytes(), f"/v1/{kind}/new"

    def send(if_none_match: str) -> httpx.Response:
        return http.put(url, content=content, headers={"If-None-Match": if_none_match})

    tag = send("*").headers["etag"]
    for excluded in ("*", tag, f'"other", W/{tag}'):
        assert assert_problem(send(excluded), 412)["type"] == "etag-match"
    assert send('"*"').status_code == send('"other" ,').status_code == 200
    for malformed in ("", "other", '"other', '"a" "b"'):
        assert_problem(send(malformed), 412)


def test_two_headers_of_one_name_are_one_list(http: httpx.Client, scene: Path) -> None:
    tag = put(http, "/v1/scenes/new", scene).headers["etag"]
    headers = [("If-Match", '"other"'), ("If-Match", tag)]
    assert http.patch("/v1/scenes/new", json={"title": "x"}, headers=headers).status_code == 200


def test_an_alias_is_not_moved_if_it_must_be_new(http: httpx.Client) -> None:
    url = "/v1/models/cane/aliases/night"
    made, again = (http.put(url, json={"version": 1}, headers={"If-None-Match": "*"}) for _ in range(2))
    assert (made.status_code, again.status_code) == (201, 412)


def test_an_alias_is_made_only_if_nothing_is_to_be_matched(http: httpx.Client) -> None:
    url = "/v1/models/cane/aliases/new"
    assert http.put(url, json={"version": 1}, headers={"If-Match": "*"}).status_code == 412
    assert http.get(url).status_code == 404


def test_every_route_that_changes_something_heeds_if_match_and_every_post_a_key(settings: Settings) -> None:
    for path, methods in create_app(settings).openapi()["paths"].items():
        for method, operation in methods.items():
            headers = {item["name"].lower() for item in operation.get("parameters", []) if item["in"] == "header"}
            if method in ("put", "patch", "delete"):
                assert "if-match" in headers, f"{method} {path} must use {_if_match}"
            elif method == "post" and path not in ("/v1/stac/search", "/v1/signed-urls"):  # they change nothing
                assert "idempotency-key" in headers, f"{method} {path} must use {_head}"


def test_the_same_import_with_the_same_key_gives_one_version(http: httpx.Client, bundle: Path) -> None:
    url, key, content = "/v1/models/new/versions", {"Idempotency-Key": "k"}, bundle.read_bytes()
    for _ in range(3):
        answer = http.post(url, content=content, headers=key)
        assert (answer.status_code, answer.json()["version"]) == (201, 1)
        assert answer.headers["location"] == "/v1/models/new/versions/1"
    assert http.post(url, content=content + b"x", headers=key).status_code == 422
    assert http.post("/v1/models/other/versions", content=content, headers=key).status_code == 422
    assert http.post(url, content=content, headers={"Idempotency-Key": "l"}).json()["version"] == 2
    assert http.post(url, content=content).json()["version"] == 3


def test_the_same_import_of_an_upload_in_pieces_gives_one_version(http: httpx.Client, bundle: Path) -> None:
    upload = http.post("/v1/uploads").headers["location"]
    assert http.put(upload, content=bundle.read_bytes()).status_code == 204
    url = f"/v1/models/new/versions?upload={upload.rpartition('/')[2]}"
    for _ in range(2):
        assert http.post(url, headers={"Idempotency-Key": "k"}).json()["version"] == 1
    assert http.post(url, headers={"Idempotency-Key": "other"}).status_code == 404


def test_the_same_upload_with_the_same_key_is_begun_once(http: httpx.Client) -> None:
    first, again = (http.post("/v1/uploads", headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    assert http.patch(first.headers["location"], content=b"xy", headers={"Upload-Offset": "0"}).status_code == 204
    assert http.post("/v1/uploads", headers={"Idempotency-Key": "k"}).json()["offset"] == 2
    assert http.post("/v1/uploads", headers={"Idempotency-Key": "l"}).json()["id"] != first.json()["id"]


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_the_same_form_with_the_same_key_makes_one_resource(
    http: httpx.Client, scene: Path, mask: Path, kind: str
) -> None:
    content, key = (scene if kind == "scenes" else mask).read_bytes(), {"Idempotency-Key": "k"}

    def post(name: str) -> int:
        return http.post(f"/v1/{kind}", data={"id": name}, files={"file": content}, headers=key).status_code

    assert [post("new"), post("new")] == [201, 200]
    assert post("other") == 422, "the key belongs to another request"
    assert http.get(f"/v1/{kind}/other").status_code == 404


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_a_key_does_not_answer_with_another_resource_of_the_same_name(
    http: httpx.Client, scene: Path, mask: Path, kind: str
) -> None:
    content, key = (scene if kind == "scenes" else mask).read_bytes(), {"Idempotency-Key": "k"}

    def post() -> httpx.Response:
        return http.post(f"/v1/{kind}", data={"id": "new"}, files={"file": content}, headers=key)

    assert post().status_code == 201
    assert http.patch(f"/v1/{kind}/new", json={"title": "corrected"}).status_code == 200
    assert post().status_code == 200, "it is still the same resource"
    assert http.delete(f"/v1/{kind}/new").status_code == 204
    assert_problem(post(), 404)
    assert http.put(f"/v1/{kind}/new", content=content + b"\0").status_code == 201
    assert assert_problem(post(), 409)["type"] == "name-taken"


@pytest.mark.parametrize("headers", [[("Idempotency-Key", "")], [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]])
def test_an_empty_key_and_two_keys_are_refused(http: httpx.Client, headers: list[tuple[str, str]]) -> None:
    content = json.dumps({"dataset": "gx:1"})
    for path in ("/v1/trainings", "/v1/uploads", "/v1/models/m/versions"):
        assert_problem(http.post(path, content=content, headers=headers), 422)
