"""tus 1.0.0, request by request, after its specification (https://tus.io/protocols/resumable-upload)."""

import base64
import hashlib
import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from app.core.columns import now
from tests.app.api.conftest import SMALL, pixels, serving_for_a_module
from tests.app.api.test_problems import assert_problem
from tests.ml.conftest import MakeScene

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = TUS | {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module", params=["sqlite"])
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of one server for all tests: each begins uploads of its own."""
    with serving_for_a_module(request, tmp_path_factory) as client:
        yield client


def metadata(**texts: str) -> dict[str, str]:
    """The header Upload-Metadata."""
    pairs = (f"{key} {base64.b64encode(text.encode()).decode()}".strip() for key, text in texts.items())
    return {"Upload-Metadata": ",".join(pairs)}


def begin(http: httpx.Client, length: int, **texts: str) -> str:
    created = http.post("/v1/uploads", headers=TUS | {"Upload-Length": str(length)} | metadata(**texts))
    assert created.status_code == 201, created.text
    return str(created.headers["location"])


def send(http: httpx.Client, url: str, offset: int, content: bytes, **more: str) -> httpx.Response:
    return http.patch(url, content=content, headers=PIECE | {"Upload-Offset": str(offset)} | more)


def head(http: httpx.Client, url: str) -> httpx.Headers:
    answer = http.head(url, headers=TUS)
    assert answer.status_code in (200, 204)
    assert answer.headers["cache-control"] == "no-store"
    return answer.headers


# --- core protocol


def test_an_upload_goes_on_where_head_says(http: httpx.Client) -> None:
    url = begin(http, 100)
    assert head(http, url)["upload-offset"] == "0", "also if it is 0"
    first = send(http, url, 0, b"x" * 70)
    assert (first.status_code, first.headers["upload-offset"], first.content) == (204, "70", b"")
    assert (head(http, url)["upload-offset"], head(http, url)["upload-length"]) == ("70", "100")
    assert send(http, url, 70, b"x" * 30).headers["upload-offset"] == "100"
    assert head(http, url)["upload-offset"] == "100", "also if it is complete"


def test_another_offset_is_409_and_changes_nothing(http: httpx.Client) -> None:
    url = begin(http, 100)
    send(http, url, 0, b"x" * 70)
    for wrong in (0, 69, 71):
        assert_problem(send(http, url, wrong, b"y"), 409)
    assert head(http, url)["upload-offset"] == "70"


def test_a_piece_must_say_that_it_is_one(http: httpx.Client) -> None:
    url = begin(http, 100)
    for kind in ({}, {"Content-Type": "application/octet-stream"}):
        assert_problem(http.patch(url, content=b"x", headers=TUS | {"Upload-Offset": "0"} | kind), 415)
    assert head(http, url)["upload-offset"] == "0"


def test_an_unknown_upload_is_404_without_an_offset(http: httpx.Client) -> None:
    url = f"/v1/uploads/{'0' * 32}"
    for answer in (http.head(url, headers=TUS), send(http, url, 0, b"x"), http.delete(url, headers=TUS)):
        assert answer.status_code == 404
        assert "upload-offset" not in answer.headers
        assert answer.headers["tus-resumable"] == "1.0.0"


def test_options_say_what_the_server_speaks(http: httpx.Client) -> None:
    for headers in ({}, TUS, {"Tus-Resumable": "0.2.2"}):  # the version of a client does not matter here
        told = http.options("/v1/uploads", headers=headers)
        assert told.status_code in (200, 204)
        assert (told.headers["tus-version"], told.headers["tus-resumable"]) == ("1.0.0", "1.0.0")
        assert told.headers["tus-max-size"] == str(SMALL["upload_limit_bytes"])
        assert "sha1" in told.headers["tus-checksum-algorithm"].split(",")
        extensions = {"creation", "creation-with-upload", "creation-defer-length"}
        extensions |= {"checksum", "expiration", "termination"}
        assert set(told.headers["tus-extension"].split(",")) == extensions


def test_another_version_is_412_and_not_processed(http: httpx.Client) -> None:
    url = begin(http, 100)
    other = {"Tus-Resumable": "0.2.2"}
    for method, path in (("POST", "/v1/uploads"), ("HEAD", url), ("PATCH", url), ("DELETE", url)):
        headers = PIECE | other | {"Upload-Offset": "0", "Upload-Length": "1"}
        refused = http.request(method, path, headers=headers, content=b"x" if method == "PATCH" else None)
        assert (refused.status_code, refused.headers["tus-version"]) == (412, "1.0.0")
    assert head(http, url)["upload-offset"] == "0"


def test_every_answer_names_the_version_and_only_to_clients_that_do(http: httpx.Client) -> None:
    assert http.post("/v1/uploads", headers=TUS).headers["tus-resumable"] == "1.0.0"  # 400
    assert "tus-resumable" not in http.post("/v1/uploads").headers
    assert "tus-resumable" not in http.get("/v1/scenes", headers=TUS).headers


def test_a_method_can_be_sent_in_a_header(http: httpx.Client) -> None:
    url = begin(http, 10)
    override = PIECE | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert http.post(url, content=b"x" * 10, headers=override).status_code == 204
    assert http.post(url, headers=TUS | {"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert http.head(url, headers=TUS).status_code == 404
    assert http.post("/v1/scenes/s1", headers=override).status_code == 405, "of uploads alone"
    assert http.post(url, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 405, "and of tus alone"


# --- creation, creation-defer-length


def test_a_creation_announces_the_length_or_says_that_it_comes_later(http: httpx.Client) -> None:
    for wrong in ({}, {"Upload-Defer-Length": "0"}, {"Upload-Length": "3", "Upload-Defer-Length": "1"}):
        assert_problem(http.post("/v1/uploads", headers=TUS | wrong), 400)
    assert_problem(http.post("/v1/uploads", headers=TUS | {"Upload-Length": "-1"}), 422)
    over = {"Upload-Length": str(int(SMALL["upload_limit_bytes"]) + 1)}
    assert_problem(http.post("/v1/uploads", headers=TUS | over), 413)


def test_a_deferred_length_is_announced_with_a_piece_and_not_changed(http: httpx.Client) -> None:
    url = http.post("/v1/uploads", headers=TUS | {"Upload-Defer-Length": "1"}).headers["location"]
    assert (head(http, url)["upload-defer-length"], "upload-length" in head(http, url)) == ("1", False)
    assert send(http, url, 0, b"x" * 5).status_code == 204
    assert send(http, url, 5, b"x" * 5, **{"Upload-Length": "15"}).status_code == 204
    assert ("upload-defer-length" in head(http, url), head(http, url)["upload-length"]) == (False, "15")
    assert_problem(send(http, url, 10, b"x" * 5, **{"Upload-Length": "16"}), 409)
    assert send(http, url, 10, b"x" * 5).status_code == 204


def test_metadata_are_told_as_they_were_sent(http: httpx.Client) -> None:
    sent = {"Upload-Metadata": "filename d29ybGQ=,is_confidential"}
    url = http.post("/v1/uploads", headers=TUS | {"Upload-Length": "3"} | sent).headers["location"]
    assert head(http, url)["upload-metadata"] == sent["Upload-Metadata"]
    for wrong in ("a b c", "a *", "a YQ==,a YQ==", "a /w==", ",", "a YQ="):
        refused = http.post("/v1/uploads", headers=TUS | {"Upload-Length": "3", "Upload-Metadata": wrong})
        assert assert_problem(refused, 400)["type"] == "invalid-upload-metadata", wrong


# --- creation-with-upload


def test_a_creation_can_bring_the_first_bytes(http: httpx.Client) -> None:
    created = http.post("/v1/uploads", content=b"x" * 4, headers=PIECE | {"Upload-Length": "10"})
    assert (created.status_code, created.headers["upload-offset"]) == (201, "4")
    assert send(http, created.headers["location"], 4, b"x" * 6).headers["upload-offset"] == "10"
    other = TUS | {"Upload-Length": "10", "Content-Type": "text/plain"}
    assert_problem(http.post("/v1/uploads", content=b"x", headers=other), 415)
    assert_problem(http.post("/v1/uploads", content=b"x" * 11, headers=PIECE | {"Upload-Length": "10"}), 409)


def test_a_creation_that_is_repeated_with_its_key_adds_nothing(http: httpx.Client) -> None:
    headers = PIECE | {"Upload-Length": "10", "Idempotency-Key": "again"}
    first, again = (http.post("/v1/uploads", content=b"x" * 4, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["upload-offset"] == "4"


# --- expiration, termination


def test_answers_say_when_an_upload_expires(http: httpx.Client) -> None:
    created = http.post("/v1/uploads", headers=TUS | {"Upload-Length": "10"})
    for answer in (created, send(http, created.headers["location"], 0, b"x")):
        left = parsedate_to_datetime(answer.headers["upload-expires"]) - now()
        assert 86_000 < left.total_seconds() <= 86_401
        assert answer.headers["upload-expires"].endswith(" GMT")


def test_a_terminated_upload_is_gone(http: httpx.Client) -> None:
    url = begin(http, 10)
    assert http.delete(url, headers=TUS).status_code == 204
    for answer in (http.head(url, headers=TUS), http.delete(url, headers=TUS), send(http, url, 0, b"x")):
        assert answer.status_code in (404, 410)


# --- checksum


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_body_with_another_checksum_is_460_and_nothing_of_it_is_kept(http: httpx.Client, algorithm: str) -> None:
    def checksum(content: bytes) -> str:
        return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"

    url = begin(http, 20)
    assert send(http, url, 0, b"x" * 10, **{"Upload-Checksum": checksum(b"x" * 10)}).status_code == 204
    refused = send(http, url, 10, b"y" * 10, **{"Upload-Checksum": checksum(b"other")})
    assert assert_problem(refused, 460)["type"] == "checksum-mismatch"
    assert head(http, url)["upload-offset"] == "10"
    assert send(http, url, 10, b"y" * 10, **{"Upload-Checksum": checksum(b"y" * 10)}).status_code == 204
    body = {"Upload-Length": "3", "Upload-Checksum": checksum(b"other")}
    assert_problem(http.post("/v1/uploads", content=b"xyz", headers=PIECE | body), 460)


@pytest.mark.parametrize("checksum", ["md5 CY9rzUYh03PK3k6DJie09g==", "sha1", "sha1 AAAA", "sha1 *", ""])
def test_a_checksum_that_is_not_known_is_400(http: httpx.Client, checksum: str) -> None:
    url = begin(http, 20)
    assert_problem(send(http, url, 0, b"x", **{"Upload-Checksum": checksum}), 400)
    assert head(http, url)["upload-offset"] == "0"


# --- what is made of it


def test_the_last_piece_makes_the_scene_that_the_metadata_ask_for(http: httpx.Client, scene: Path) -> None:
    content, told = scene.read_bytes(), {"kind": "scene", "acquired": "2018-10-12", "filename": "武鸣 2018.tif"}
    url = begin(http, len(content), **told, type="image/tiff", relativePath="null")
    assert "content-location" not in send(http, url, 0, content[:999]).headers
    made = send(http, url, 999, content[999:]).headers["content-location"]
    item = http.get(made).json()
    assert item["properties"]["title"] == "武鸣 2018.tif"
    assert item["properties"]["datetime"].startswith("2018-10-12")
    for _ in range(2):  # for a client that has not seen the answer
        again = head(http, url)
        assert (again["content-location"], again["upload-offset"]) == (made, str(len(content)))
    assert_problem(send(http, url, len(content), b"x"), 409)
    assert http.delete(url, headers=TUS).status_code == 204
    assert (http.head(url, headers=TUS).status_code, http.get(made).status_code) == (404, 200)


def test_a_creation_with_all_bytes_makes_labels(http: httpx.Client, mask: Path) -> None:
    content = mask.read_bytes()
    headers = PIECE | {"Upload-Length": str(len(content))} | metadata(kind="labels", id="truth", title="truth")
    created = http.post("/v1/uploads", content=content, headers=headers)
    assert (created.status_code, created.headers["content-location"]) == (201, "/v1/labels/truth")
    assert http.get("/v1/labels/truth").json()["title"] == "truth"


def test_what_is_wrong_with_the_metadata_is_told_before_the_bytes_are_sent(http: httpx.Client) -> None:
    wrong = metadata(kind="scene", acquired="yesterday", nodata="none", colour="red")
    problem = assert_problem(http.post("/v1/uploads", headers=TUS | {"Upload-Length": "9"} | wrong), 422)
    assert {fault["pointer"] for fault in problem["errors"]} == {"/id", "/acquired", "/nodata", "/colour"}
    kind = http.post("/v1/uploads", headers=TUS | {"Upload-Length": "9"} | metadata(kind="bundle"))
    assert assert_problem(kind, 422)["errors"][0]["pointer"] == "/kind"


def test_a_file_that_is_refused_stays_and_no_answer_says_that_it_was_taken(http: httpx.Client) -> None:
    url = begin(http, 6, kind="scene", id="broken")
    assert_problem(send(http, url, 0, b"no TIF"), 422)
    assert http.head(url, headers=TUS).status_code == 422, "a client that asks later is not told that all went well"
    assert http.get("/v1/scenes/broken").status_code == 404
    assert http.delete(url, headers=TUS).status_code == 204


def test_what_a_service_that_died_has_not_made_is_made_when_the_client_asks(
    http: httpx.Client, scene: Path, make_scene: MakeScene
) -> None:
    content, other = scene.read_bytes(), make_scene(pixels(seed=9), "other.tif").read_bytes()
    assert http.put("/v1/scenes/late", content=other).status_code == 201
    url = begin(http, len(content), kind="scene", id="late")
    assert_problem(send(http, url, 0, content), 409)  # all bytes are there, and nothing was made
    assert http.delete("/v1/scenes/late").status_code == 204
    assert head(http, url)["content-location"] == "/v1/scenes/late"
    assert http.get("/v1/scenes/late").status_code == 200


def test_classes_of_labels_can_be_metadata(http: httpx.Client) -> None:
    ring = [[108.0, 23.0], [108.001, 23.0], [108.001, 23.001], [108.0, 23.0]]
    feature = {
        "type": "Feature",
        "properties": {"作物": "甘蔗"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    content = json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()
    url = begin(http, len(content), kind="labels", filename="plots.geojson", class_field="作物", classes='{"甘蔗":1}')
    assert send(http, url, 0, content).headers["content-location"] == "/v1/labels/plots"
