"""Digests of RFC 9530: what clients send is checked, and what they download says its own."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.app.api.conftest import copy_of_service, serving
from tests.app.api.test_problems import assert_problem

PIECES = "/v1/uploads"


@pytest.fixture(scope="module")
def http(trained_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of one service with a model and a map."""
    with copy_of_service(trained_sqlite, tmp_path_factory.mktemp("data")) as settings, serving(settings) as client:
        yield client


def digest(content: bytes, algorithm: str = "sha-256") -> str:
    hashed = hashlib.new(algorithm.replace("-", ""), content).digest()
    return f"{algorithm}=:{base64.b64encode(hashed).decode()}:"


def files(http: httpx.Client) -> list[str]:
    prediction = http.get("/v1/predictions").json()["features"][0]["id"]
    return [f"/v1/predictions/{prediction}/classes.tif", "/v1/models/cane/versions/1/bundle"]


def test_a_download_states_the_digest_of_the_whole_file(http: httpx.Client) -> None:
    for path in files(http):
        whole = http.get(path)
        assert whole.headers["repr-digest"] == digest(whole.content)
        part = http.get(path, headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, whole.content[5:10])
        assert part.headers["repr-digest"] == whole.headers["repr-digest"], "of the whole, also for a part"
        assert http.head(path).headers["repr-digest"] == whole.headers["repr-digest"]


def test_the_digest_of_a_copy_is_computed_if_it_is_asked_for(http: httpx.Client) -> None:
    for path in ("/v1/scenes/s1/data", "/v1/models/cane/versions/1/onnx"):
        for want in ("sha-256=1", "sha-512=3, sha-256=10", "sha-256=1, unixsum=2"):
            got = http.get(path, headers={"Want-Repr-Digest": want})
            assert got.headers["repr-digest"] == digest(got.content), want
        for want in ("sha-256=0", "md5=5", "nonsense", ""):
            assert "repr-digest" not in http.get(path, headers={"Want-Repr-Digest": want}).headers, want


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_an_upload_with_another_digest_is_refused_and_nothing_is_kept(
    http: httpx.Client, scene: Path, header: str, algorithm: str
) -> None:
    content, name = scene.read_bytes(), f"{header}-{algorithm}"
    wrong, right = {header: digest(b"other", algorithm)}, {header: digest(content, algorithm)}
    form = {"data": {"id": f"{name}-form"}, "files": {"file": content}}
    for refused in (
        http.put(f"/v1/scenes/{name}", content=content, headers=wrong),
        http.post("/v1/scenes", headers=wrong, **form),  # type: ignore[arg-type]
    ):
        fault = assert_problem(refused, 422)["errors"][0]
        assert (fault["code"], fault["pointer"]) == ("digest_mismatch", f"header:{header.lower()}")
        assert algorithm in fault["detail"]
    for made in (name, f"{name}-form"):
        assert http.get(f"/v1/scenes/{made}").status_code == 404
    assert http.put(f"/v1/scenes/{name}", content=content, headers=right).status_code == 201
    request = http.build_request("POST", "/v1/scenes", **form)  # type: ignore[arg-type]
    request.headers[header] = digest(request.read(), algorithm)  # of the form as it is sent
    assert http.send(request).status_code == 201


def test_all_known_digests_count_and_unknown_ones_do_not(http: httpx.Client, scene: Path) -> None:
    content = scene.read_bytes()
    both = f"{digest(content)}, {digest(b'other', 'sha-512')}"
    assert_problem(http.put("/v1/scenes/both", content=content, headers={"Content-Digest": both}), 422)
    for unknown in ("md5=:AAAA:", f"crc32c=:AAAA:, {digest(content)}", f"{digest(content)};note=x"):
        made = http.put("/v1/scenes/unknown", content=content, headers={"Content-Digest": unknown})
        assert made.status_code in (200, 201), unknown


def test_a_piece_with_another_digest_is_not_added(http: httpx.Client) -> None:
    url = http.post(PIECES).headers["location"]
    for sent, status, offset in ((b"other", 422, "0"), (b"x" * 10, 204, "10")):
        headers = {"Upload-Offset": "0", "Content-Digest": digest(sent)}
        assert http.patch(url, content=b"x" * 10, headers=headers).status_code == status
        assert http.head(url).headers["upload-offset"] == offset


def test_the_digest_of_the_whole_file_is_announced_with_an_upload_and_checked_at_its_end(
    http: httpx.Client, scene: Path
) -> None:
    content, ways = scene.read_bytes(), ("begin", "piece")
    for way in ways:
        for announced, status in ((b"other", 422), (content, 201)):
            headers = {"Repr-Digest": digest(announced, "sha-512")}
            url = http.post(PIECES, headers=headers if way == "begin" else {}).headers["location"]
            piece = {"Upload-Offset": "0"} | (headers if way == "piece" else {})
            assert http.patch(url, content=content, headers=piece).status_code == 204
            other = {"Upload-Offset": str(len(content)), "Repr-Digest": digest(b"third", "sha-512")}
            assert_problem(http.patch(url, content=b"", headers=other), 422)
            made = http.put(f"/v1/scenes/whole-{way}", params={"upload": url.rpartition("/")[2]})
            assert made.status_code == status, made.text


@pytest.mark.parametrize("wrong", ["sha-256=:AAAA:", "sha-512=:*:", "sha-256=AAAA", "garbage"])
def test_a_digest_that_cannot_be_read_is_refused_everywhere(http: httpx.Client, wrong: str) -> None:
    url = http.post(PIECES).headers["location"]
    for header in ("Content-Digest", "Repr-Digest"):
        headers = {header: wrong, "Upload-Offset": "0"}
        for refused in (
            http.put("/v1/scenes/wrong", content=b"x", headers=headers),
            http.post("/v1/models/m/versions", content=b"x", headers=headers),
            http.post("/v1/scenes", data={"id": "x"}, files={"file": b"x"}, headers=headers),
            http.patch(url, content=b"x", headers=headers),
        ):
            assert assert_problem(refused, 422)["type"] == "digest-unreadable"
