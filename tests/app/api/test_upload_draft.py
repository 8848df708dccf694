"""draft-ietf-httpbis-resumable-upload, request by request, for clients that send its interop version."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.api.conftest import SMALL, serving_for_a_module
from tests.app.api.test_problems import assert_problem

DRAFT = {"Upload-Draft-Interop-Version": "8"}
PIECE = DRAFT | {"Content-Type": "application/partial-upload"}
MORE, LAST = {"Upload-Complete": "?0"}, {"Upload-Complete": "?1"}
TYPES = "https://iana.org/assignments/http-problem-types#"


@pytest.fixture(scope="module", params=["sqlite"])
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of one server for all tests: each begins uploads of its own."""
    with serving_for_a_module(request, tmp_path_factory) as client:
        yield client


def begin(http: httpx.Client, content: bytes = b"", **more: str) -> str:
    created = http.post("/v1/uploads", content=content, headers=DRAFT | MORE | more)
    assert (created.status_code, created.headers["upload-complete"]) == (201, "?0"), created.text
    assert f"max-size={SMALL['upload_limit_bytes']}" in created.headers["upload-limit"]
    return str(created.headers["location"])


def send(http: httpx.Client, url: str, offset: int, content: bytes, more: dict[str, str]) -> httpx.Response:
    return http.patch(url, content=content, headers=PIECE | {"Upload-Offset": str(offset)} | more)


def told(http: httpx.Client, url: str) -> tuple[str, str, str | None]:
    """Offset, completeness and length, as HEAD says."""
    answer = http.head(url, headers=DRAFT)
    assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    assert "max-age=" in answer.headers["upload-limit"]
    headers = answer.headers
    return headers["upload-offset"], headers["upload-complete"], headers.get("upload-length")


def test_an_upload_in_three_requests(http: httpx.Client, scene: Path) -> None:
    content = scene.read_bytes()
    url = begin(http, content[:1000])
    assert told(http, url) == ("1000", "?0", None)
    first = send(http, url, 1000, content[1000:2000], MORE)
    assert (first.status_code, first.headers["upload-complete"]) == (204, "?0")
    last = send(http, url, 2000, content[2000:], LAST)
    assert (last.status_code, last.headers["upload-complete"]) == (204, "?1")
    assert told(http, url) == (str(len(content)), "?1", str(len(content)))
    assert http.put("/v1/scenes/s1", params={"upload": url.rpartition("/")[2]}).status_code == 201


def test_an_upload_in_one_request(http: httpx.Client) -> None:
    created = http.post("/v1/uploads", content=b"x" * 10, headers=DRAFT | LAST)
    assert (created.status_code, created.headers["upload-complete"]) == (201, "?1")
    assert told(http, created.headers["location"]) == ("10", "?1", "10")


def test_an_upload_of_unknown_length_is_complete_when_its_last_request_has_ended(http: httpx.Client) -> None:
    url = begin(http)
    chunked = http.patch(url, content=iter([b"x" * 5, b"x" * 5]), headers=PIECE | LAST | {"Upload-Offset": "0"})
    assert (chunked.status_code, chunked.headers["upload-complete"]) == (204, "?1")
    assert told(http, url) == ("10", "?1", "10")


def test_another_offset_is_told_with_the_right_one(http: httpx.Client) -> None:
    url = begin(http, b"x" * 10)
    refused = send(http, url, 7, b"y", MORE)
    problem = assert_problem(refused, 409)
    assert (problem["type"], refused.headers["upload-offset"]) == (f"{TYPES}mismatching-upload-offset", "10")
    assert (problem["expected-offset"], problem["provided-offset"]) == (10, 7)


def test_a_complete_upload_takes_no_more_bytes(http: httpx.Client) -> None:
    url = http.post("/v1/uploads", content=b"x" * 10, headers=DRAFT | LAST).headers["location"]
    assert assert_problem(send(http, url, 10, b"", LAST), 400)["type"] == f"{TYPES}completed-upload"
    assert assert_problem(send(http, url, 10, b"y", LAST), 400)["type"] == f"{TYPES}inconsistent-upload-length"
    assert told(http, url) == ("10", "?1", "10")


def test_lengths_that_differ_are_refused(http: httpx.Client) -> None:
    inconsistent = f"{TYPES}inconsistent-upload-length"
    created = http.post("/v1/uploads", content=b"x" * 10, headers=DRAFT | LAST | {"Upload-Length": "11"})
    assert assert_problem(created, 400)["type"] == inconsistent
    url = begin(http, b"x" * 10, **{"Upload-Length": "20"})
    assert told(http, url) == ("10", "?0", "20")
    for content, more in ((b"y", LAST), (b"y" * 11, MORE), (b"y", MORE | {"Upload-Length": "21"})):
        assert assert_problem(send(http, url, 10, content, more), 400)["type"] == inconsistent
    assert send(http, url, 10, b"y" * 10, LAST).status_code == 204


def test_a_piece_says_that_it_is_one_and_whether_it_is_the_last(http: httpx.Client) -> None:
    url = begin(http)
    for more in ({}, {"Upload-Complete": "1"}):
        assert_problem(send(http, url, 0, b"x", more), 400)
        assert_problem(http.post("/v1/uploads", content=b"x", headers=DRAFT | more), 400)
    assert_problem(http.patch(url, content=b"x", headers=DRAFT | MORE | {"Upload-Offset": "0"}), 415)
    assert told(http, url) == ("0", "?0", None)


def test_another_interop_version_is_refused(http: httpx.Client) -> None:
    other = LAST | {"Upload-Draft-Interop-Version": "3"}
    assert assert_problem(http.post("/v1/uploads", content=b"x", headers=other), 400)["type"] == "unknown-version"


def test_limits_are_told_and_kept(http: httpx.Client) -> None:
    options = http.options("/v1/uploads")
    assert options.headers["upload-limit"] == f"max-size={SMALL['upload_limit_bytes']}"
    assert "application/partial-upload" in options.headers["accept-patch"]
    over = {"Upload-Length": str(int(SMALL["upload_limit_bytes"]) + 1)}
    refused = http.post("/v1/uploads", headers=DRAFT | MORE | over)
    assert_problem(refused, 413)
    assert refused.headers["upload-limit"] == f"max-size={SMALL['upload_limit_bytes']}"


def test_a_cancelled_upload_is_gone(http: httpx.Client) -> None:
    url = begin(http, b"x")
    assert http.delete(url, headers=DRAFT).status_code == 204
    assert http.head(url, headers=DRAFT).status_code == 404


def test_without_the_header_the_same_request_means_what_it_meant_before(http: httpx.Client) -> None:
    begun = http.post("/v1/uploads", content=b"x" * 10, headers=LAST)
    assert (begun.status_code, begun.json()["offset"]) == (201, 0)
    url = begun.headers["location"]
    assert http.patch(url, content=b"x", headers={"Upload-Offset": "0"} | LAST).status_code == 204
    refused = http.patch(url, content=b"x", headers={"Upload-Offset": "0"})
    assert assert_problem(refused, 409)["type"] == "offset-mismatch"
