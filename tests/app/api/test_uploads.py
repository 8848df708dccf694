"""Uploads in pieces: they resume where they broke off, become a scene or labels, and leave nothing behind."""

import base64
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.client import Client, Unreachable
from app.core.columns import now
from app.services import Services
from app.settings import Settings
from app.tables import UnfinishedUpload
from app.upkeep import retention
from tests import servers
from tests.app.api.test_problems import assert_problem
from tests.waiting import eventually


@pytest.fixture
def database_url(migrated_sqlite: str, tmp_path: Path) -> Iterator[str]:
    """Only SQLite: uploads are files, and test_scenes sends what they become to both databases."""
    with servers.copy_of(migrated_sqlite, tmp_path) as url:
        yield url


def begin(http: httpx.Client) -> str:
    answer = http.post("/v1/uploads")
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/uploads/{answer.json()['id']}"
    location: str = answer.headers["location"]
    return location


def send(http: httpx.Client, url: str, offset: int, content: bytes) -> httpx.Response:
    return http.patch(url, content=content, headers={"Upload-Offset": str(offset)})


def offset(http: httpx.Client, url: str) -> int:
    return int(http.head(url).headers["upload-offset"])


def digest(content: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"}


def test_pieces_become_a_scene_and_the_upload_is_gone(http: httpx.Client, scene: Path) -> None:
    content, url = scene.read_bytes(), begin(http)
    assert offset(http, url) == 0
    for start in range(0, len(content), 1000):
        answer = send(http, url, start, content[start : start + 1000])
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(min(start + 1000, len(content))))
    made = http.put("/v1/scenes/s1", params={"upload": url.rpartition("/")[2]}, headers=digest(content))
    assert made.status_code == 201, made.text
    assert made.json()["assets"]["data"]["file:checksum"].endswith(hashlib.sha256(content).hexdigest())
    assert http.head(url).status_code == 404
    assert http.put("/v1/scenes/s1", content=content).status_code == 200, "the same scene"


def test_pieces_become_labels(http: httpx.Client, mask: Path) -> None:
    url = begin(http)
    send(http, url, 0, mask.read_bytes())
    assert http.put("/v1/labels/truth", params={"upload": url.rpartition("/")[2]}).status_code == 201


def test_curl_resumes_an_upload_with_content_range(http: httpx.Client, scene: Path) -> None:
    content, url = scene.read_bytes(), begin(http)
    half = len(content) // 2
    assert http.put(url, content=content[:half]).status_code == 204
    span = f"bytes {half}-{len(content) - 1}/{len(content)}"
    assert http.put(url, content=content[half:], headers={"Content-Range": span}).status_code == 204
    assert http.put("/v1/scenes/s1", params={"upload": url.rpartition("/")[2]}).status_code == 201
    wrong = http.put(begin(http), content=b"x", headers={"Content-Range": "lines 1-2"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "header:content-range")


def test_a_wrong_offset_is_refused_and_the_right_one_named(http: httpx.Client) -> None:
    url = begin(http)
    send(http, url, 0, b"x" * 10)
    for wrong in 0, 9, 11:
        answer = send(http, url, wrong, b"y")
        assert answer.status_code == 409
        assert "has 10 bytes" in answer.json()["detail"]
    assert http.patch(url, content=b"y").status_code == 422, "no offset at all"
    assert offset(http, url) == 10


def test_an_upload_is_kept_when_the_request_that_names_it_is_refused(http: httpx.Client, scene: Path) -> None:
    url = begin(http)
    send(http, url, 0, scene.read_bytes())
    upload = {"upload": url.rpartition("/")[2]}
    for wrong in (
        http.put("/v1/scenes/s1", params=upload | {"bands": "one,two,many,too,much"}),
        http.put("/v1/scenes/s1", params=upload, headers=digest(b"other")),
        http.put("/v1/scenes/s1", params=upload, content=b"a body, too"),
    ):
        assert wrong.status_code == 422, wrong.text
    assert http.put("/v1/scenes/s1", params=upload).status_code == 201


def test_an_empty_or_unknown_upload_is_refused(http: httpx.Client) -> None:
    upload = begin(http).rpartition("/")[2]
    assert http.put("/v1/scenes/s1", params={"upload": upload}).status_code == 422
    assert http.put("/v1/scenes/s1", params={"upload": "0" * 32}).status_code == 404
    assert http.put("/v1/scenes/s1", params={"upload": "../../x"}).status_code == 422


def test_an_upload_that_is_already_in_the_store_cannot_change(
    http: httpx.Client, settings: Settings, tmp_path: Path
) -> None:
    url = begin(http)
    send(http, url, 0, b"x" * 10)
    (path,) = Path(settings.data_dir).rglob(f"upload-{url.rpartition('/')[2]}")
    os.link(path, tmp_path / "object")  # as the store does, before the service is killed
    answer = send(http, url, 10, b"y")
    assert (answer.status_code, answer.json()["type"]) == (409, "upload-complete")
    assert (tmp_path / "object").read_bytes() == b"x" * 10


def test_the_size_of_all_pieces_together_is_limited(http: httpx.Client, settings: Settings) -> None:
    url = begin(http)
    assert send(http, url, 0, bytes(settings.upload_limit_bytes - 1)).status_code == 204
    assert send(http, url, settings.upload_limit_bytes - 1, b"12").status_code == 413


def test_a_deleted_upload_is_gone(http: httpx.Client) -> None:
    url = begin(http)
    assert http.delete(url).status_code == 204
    for answer in http.delete(url), http.head(url), send(http, url, 0, b"x"):
        assert answer.status_code == 404


def test_two_requests_cannot_send_to_one_upload_at_once(http: httpx.Client) -> None:
    url, (host, port) = begin(http), (http.base_url.host, http.base_url.port or 80)
    head = f"PATCH {url} HTTP/1.1\r\nHost: {host}\r\nUpload-Offset: 0\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((host, port)) as slow:
        slow.sendall(head.encode() + b"x" * 500)
        eventually(lambda: send(http, url, 5, b"y").status_code == 423)  # it is 409 until the slow request has begun
        slow.sendall(b"x" * 500)
        assert slow.recv(100).startswith(b"HTTP/1.1 204")
    assert offset(http, url) == 1000


def test_bytes_that_arrived_before_the_connection_broke_are_kept(http: httpx.Client, settings: Settings) -> None:
    url, (host, port) = begin(http), (http.base_url.host, http.base_url.port or 80)
    (path,) = Path(settings.data_dir).rglob(f"upload-{url.rpartition('/')[2]}")
    head = f"PATCH {url} HTTP/1.1\r\nHost: {host}\r\nUpload-Offset: 0\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((host, port)) as client:
        client.sendall(head.encode() + b"x" * 500)
        eventually(lambda: path.stat().st_size == 500)
    eventually(lambda: offset(http, url) == 500)


def test_an_upload_without_new_bytes_for_a_day_is_deleted(http: httpx.Client, settings: Settings) -> None:
    old, young = begin(http), begin(http)
    services = Services.open(settings)
    with services.database.write() as session:
        session.get_one(UnfinishedUpload, old.rpartition("/")[2]).touched = now() - timedelta(days=2)
    retention.sweep(services)
    services.close()
    assert (http.head(old).status_code, http.head(young).status_code) == (404, 204)
    assert len(list(Path(settings.data_dir).rglob("upload-*"))) == 1


def test_the_client_resumes_an_upload_after_the_api_was_killed(
    settings: Settings, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.client.PIECE_BYTES", 1000)
    port, sent = servers.free_port(), list[int]()
    with ExitStack() as stack:
        process = stack.enter_context(served(settings, port))

        def kill_once(request: httpx.Request) -> None:
            if request.method == "PATCH":
                sent.append(int(request.headers["upload-offset"]))
            if sent == [0, 1000, 2000]:
                process.kill()
                process.wait()
                stack.enter_context(served(settings, port))
                sent.append(-1)
                raise Unreachable("the connection to the killed process broke")

        client = stack.enter_context(Client(f"http://127.0.0.1:{port}"))
        client._http.event_hooks["request"].append(kill_once)
        document = client.upload_scene(scene, "s1")
    assert document["assets"]["data"]["file:checksum"].endswith(hashlib.sha256(scene.read_bytes()).hexdigest())
    assert sent[:5] == [0, 1000, 2000, -1, 2000], "nothing was sent twice"


@contextmanager
def served(settings: Settings, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The API as a separate process."""
    variables = {"CANEMAP_DATA_DIR": str(settings.data_dir), "CANEMAP_DATABASE_URL": settings.database_url or ""}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ | variables) as process:
        try:
            eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/healthz", verify=False).status_code == 200)
            yield process
        finally:
            process.kill()


def test_a_content_range_that_does_not_fit_the_body_is_refused(http: httpx.Client) -> None:
    url = begin(http)
    for span in ("bytes 0-1/9", "bytes 5-1/9", "bytes 0-8"):
        wrong = http.put(url, content=b"x", headers={"Content-Range": span})
        assert (wrong.status_code, wrong.json()["type"]) == (422, "invalid-content-range")
    assert http.put(url, content=b"x", headers={"Content-Range": "bytes 0-0/*"}).status_code == 204


def test_a_content_range_beyond_the_file_is_refused(http: httpx.Client) -> None:
    url = begin(http)
    for span in ("bytes 0-3/3", "bytes 0-3/0"):
        wrong = http.put(url, content=b"xxxx", headers={"Content-Range": span})
        assert (wrong.status_code, wrong.json()["type"]) == (422, "invalid-content-range")
    assert offset(http, url) == 0


def test_the_announced_total_must_be_kept(http: httpx.Client, settings: Settings, scene: Path) -> None:
    content, url = scene.read_bytes(), begin(http)
    half, whole, upload = len(content) // 2, len(content), {"upload": url.rpartition("/")[2]}

    def go_on(span: str) -> httpx.Response:
        return http.put(url, content=content[half:], headers={"Content-Range": f"bytes {half}-{whole - 1}/{span}"})

    assert http.put(url, content=content[:half], headers={"Content-Range": f"bytes 0-{half - 1}/{whole}"}).is_success
    other = go_on(str(whole + 1))
    assert (other.status_code, other.json()["type"]) == (409, "total-mismatch")
    assert f"{whole} bytes, and now it is {whole + 1}" in other.json()["detail"]
    early = http.put("/v1/scenes/s1", params=upload)
    assert (early.status_code, early.json()["type"]) == (409, "upload-incomplete")
    assert offset(http, url) == half
    assert go_on("*").status_code == 204
    assert http.put("/v1/scenes/s1", params=upload).status_code == 201
    assert not list(Path(settings.data_dir).rglob(f"*{upload['upload']}*")), "nothing is left"


@pytest.mark.parametrize("streamed", [False, True])
def test_more_bytes_than_announced_are_refused_and_the_upload_can_still_be_finished(
    http: httpx.Client, scene: Path, streamed: bool
) -> None:
    content = scene.read_bytes()
    for number, announced in enumerate(("content-range", "upload-length", "at the start", "in the piece")):
        size, headers = len(content), dict[str, str]()
        length = {"Upload-Length": str(size)}
        begun = http.post("/v1/uploads", headers=length if announced == "at the start" else {}).json()
        url = f"/v1/uploads/{begun['id']}"
        if announced == "content-range":
            first = {"Content-Range": f"bytes 0-99/{size}"}
            assert http.put(url, content=content[:100], headers=first).status_code == 204
        elif announced != "at the start":
            headers = length
        start = offset(http, url)
        more = content[start:] + b"xx"
        body = iter([more[:500], more[500:]]) if streamed else more
        refused = http.patch(url, content=body, headers=headers | {"Upload-Offset": str(start)})
        assert (refused.status_code, refused.json()["type"]) == (409, "total-exceeded"), announced
        kept = offset(http, url)
        assert start <= kept <= size, announced
        if kept < size:
            assert send(http, url, kept, content[kept:]).status_code == 204, announced
        made = http.put(f"/v1/scenes/s{number}", params={"upload": begun["id"]})
        assert made.status_code == 201, announced


def test_a_file_over_the_limit_is_refused_when_it_is_announced(http: httpx.Client, settings: Settings) -> None:
    over = str(settings.upload_limit_bytes + 1)
    assert assert_problem(http.post("/v1/uploads", headers={"Upload-Length": over}), 413)["type"] == "body-too-large"
    assert not list(Path(settings.data_dir).rglob("upload-*")), "nothing was begun"
    url = begin(http)
    assert_problem(http.patch(url, content=b"x", headers={"Upload-Offset": "0", "Upload-Length": over}), 413)
    assert_problem(http.put(url, content=b"x", headers={"Content-Range": f"bytes 0-0/{over}"}), 413)
    assert offset(http, url) == 0


@pytest.mark.parametrize("path", ["scenes/new", "labels/new", "models/new/versions"])
def test_a_part_of_a_file_is_not_taken_for_the_whole(http: httpx.Client, scene: Path, path: str) -> None:
    method, part = "POST" if "versions" in path else "PUT", {"Content-Range": "bytes 500-999/1000"}
    answer = http.request(method, f"/v1/{path}", content=scene.read_bytes(), headers=part)
    assert assert_problem(answer, 400)["type"] == "partial-content"


def test_more_bytes_than_a_content_range_covers_are_refused(http: httpx.Client) -> None:
    url = begin(http)
    long = http.put(url, content=iter([b"xx", b"xx"]), headers={"Content-Range": "bytes 0-1/*"})
    assert (long.status_code, long.json()["type"]) == (409, "total-exceeded")
    assert offset(http, url) <= 2


def test_a_total_below_what_has_arrived_is_refused_and_forgotten(http: httpx.Client) -> None:
    url = begin(http)
    assert send(http, url, 0, b"x" * 10).status_code == 204
    small = http.patch(url, content=b"", headers={"Upload-Offset": "10", "Upload-Length": "9"})
    assert (small.status_code, small.json()["type"]) == (409, "total-mismatch")
    assert http.patch(url, content=b"", headers={"Upload-Offset": "10", "Upload-Length": "10"}).status_code == 204


def test_only_ids_of_uploads_name_files(http: httpx.Client, settings: Settings) -> None:
    url = begin(http)
    assert http.put(url, content=b"x", headers={"Content-Range": "bytes 0-0/9"}).status_code == 204
    before = sorted(Path(settings.data_dir).rglob("upload-*"))
    for name in (".total", "/../x", "%2e%2e", "0" * 31, "0" * 33, "G" * 32):
        path = f"{url}{name}" if name.startswith(".") else f"/v1/uploads/{name}"
        for method in ("HEAD", "PATCH", "PUT", "DELETE"):
            assert http.request(method, path, headers={"Upload-Offset": "0"}).status_code in (404, 405), name
        assert sorted(Path(settings.data_dir).rglob("upload-*")) == before, name


def test_a_compressed_body_is_refused(http: httpx.Client) -> None:
    answer = http.put("/v1/scenes/s1", content=b"x", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["type"]) == (415, "encoded-body")


def test_unfinished_uploads_have_a_limit_and_finished_ones_make_room(
    http: httpx.Client, scene: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("app.data.uploads.MOST", 2)
    first, second = begin(http), begin(http)
    refused = http.post("/v1/uploads", headers={"Idempotency-Key": "third"})
    assert assert_problem(refused, 429)["type"] == "too-many-unfinished-uploads"
    assert refused.headers["retry-after"]
    assert len(list(settings.data_dir.rglob(f"*{second.rpartition('/')[2]}*"))) == 1
    assert http.delete(second).status_code == 204
    third = http.post("/v1/uploads", headers={"Idempotency-Key": "third"})
    assert third.status_code == 201  # a key of a refused request is not used up
    assert (
        http.post("/v1/uploads", headers={"Idempotency-Key": "third"}).headers["location"] == third.headers["location"]
    )
    assert send(http, first, 0, scene.read_bytes()).status_code == 204
    assert http.put(f"/v1/scenes/s1?upload={first.rpartition('/')[2]}").status_code == 201
    assert http.post("/v1/uploads").status_code == 201


def test_metadata_of_an_upload_have_a_limit(http: httpx.Client) -> None:
    for length, status in ((16_000, 201), (17_000, 400)):
        headers = {"Upload-Metadata": f"filename {'A' * (length // 4 * 4)}"}
        assert http.post("/v1/uploads", headers=headers).status_code == status
