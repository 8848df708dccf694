"""An upload in pieces goes on at any API of a fleet, which shares a database and a bucket but no disk."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.core.columns import now
from app.services import Services
from app.settings import Settings
from app.storage import Store
from app.tables import UnfinishedUpload
from app.upkeep import retention
from tests import servers
from tests.app.api.conftest import put, serving
from tests.app.api.test_tus import PIECE, TUS, metadata
from tests.ml.conftest import MakeScene
from tests.waiting import eventually

PIECE_BYTES = 300_000


@pytest.fixture
def database_url(migrated_postgresql: str, tmp_path: Path) -> Iterator[str]:
    """A fleet has a PostgreSQL."""
    with servers.copy_of(migrated_postgresql, tmp_path) as url:
        yield url


@pytest.fixture
def apis(settings: Settings, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Settings]]:
    """The settings of two APIs."""
    for name in ("data.upload_objects.PIECE_BYTES", "api.http.uploads.receiving.CHUNK_BYTES"):
        monkeypatch.setattr(f"app.{name}", PIECE_BYTES)  # so that few bytes are several objects
    yield [settings.model_copy(update={"data_dir": tmp_path / name, "store_url": s3_url}) for name in ("a", "b")]


@pytest.fixture
def fleet(apis: list[Settings]) -> Iterator[list[httpx.Client]]:
    """Clients of two APIs."""
    with serving(apis[0]) as first, serving(apis[1]) as second:
        yield [first, second]


@pytest.fixture
def store(apis: list[Settings]) -> Iterator[Store]:
    services = Services.open(apis[0])
    yield services.store
    services.close()


@pytest.fixture
def large(make_scene: MakeScene) -> bytes:
    """A scene of some pieces."""
    noise = np.random.default_rng(0).integers(0, 60_000, (4, 400, 400), dtype=np.uint16)
    return make_scene(noise, "large.tif").read_bytes()


def pieces(store: Store) -> list[str]:
    """The keys of all pieces of uploads."""
    return list(store.keys("uploads/"))


def send(http: httpx.Client, url: str, offset: int, content: bytes) -> httpx.Response:
    return http.patch(url, content=content, headers={"Upload-Offset": str(offset)})


def test_a_download_begun_at_one_api_goes_on_at_the_other(fleet: list[httpx.Client], tmp_path: Path) -> None:
    square = [[[108, 22], [108.1, 22], [108.1, 22.1], [108, 22]]]
    zone = {"type": "Feature", "properties": {"c": "1"}, "geometry": {"type": "Polygon", "coordinates": square}}
    (tmp_path / "zones.geojson").write_text(json.dumps(zone))
    assert put(fleet[0], "/v1/zones/z", tmp_path / "zones.geojson", code_field="c").status_code == 201
    first, whole = (http.get("/v1/zones/z/features") for http in fleet)
    assert first.headers["etag"] == whole.headers["etag"]
    rest = fleet[1].get("/v1/zones/z/features", headers={"Range": "bytes=9-", "If-Range": first.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, whole.content[9:])


def test_the_apis_take_turns_and_either_makes_the_scene(fleet: list[httpx.Client], store: Store, large: bytes) -> None:
    url, sent, size = fleet[0].post("/v1/uploads").headers["location"], 0, 70_001
    while sent < len(large):
        api = fleet[sent % 2]
        assert api.head(url).headers["upload-offset"] == str(sent)
        size = size * 2
        assert send(api, url, sent, large[sent : sent + size]).status_code == 204
        sent = min(len(large), sent + size)
    assert len(pieces(store)) > len(large) // PIECE_BYTES
    made = fleet[1].put("/v1/scenes/large", params={"upload": url.rpartition("/")[2]})
    assert made.status_code == 201, made.text
    assert made.json()["assets"]["data"]["file:checksum"].endswith(hashlib.sha256(large).hexdigest())
    assert pieces(store) == []
    assert [api.head(url).status_code for api in fleet] == [404, 404]


def test_what_tus_makes_at_one_api_is_told_by_the_other(fleet: list[httpx.Client], store: Store, large: bytes) -> None:
    headers = TUS | {"Upload-Length": str(len(large))} | metadata(kind="scene", id="large")
    url = fleet[0].post("/v1/uploads", headers=headers).headers["location"]
    assert fleet[0].patch(url, content=large[:900], headers=PIECE | {"Upload-Offset": "0"}).status_code == 204
    last = fleet[1].patch(url, content=large[900:], headers=PIECE | {"Upload-Offset": "900"})
    assert last.headers["content-location"] == fleet[0].head(url, headers=TUS).headers["content-location"]
    assert (fleet[0].get("/v1/scenes/large").status_code, pieces(store)) == (200, [])


def test_of_two_pieces_at_one_offset_one_is_added(fleet: list[httpx.Client], store: Store, large: bytes) -> None:
    for number in range(5):
        url = fleet[0].post("/v1/uploads").headers["location"]
        contents = [bytes([number]) * 100_000, b"y" * 120_000]
        answers: list[httpx.Response] = []

        def race(api: httpx.Client, content: bytes, url: str = url, into: list[httpx.Response] = answers) -> None:
            into.append(send(api, url, 0, content))

        threads = [threading.Thread(target=race, args=each) for each in zip(fleet, contents, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        (won,) = (answer for answer in answers if answer.is_success)
        (key,) = (key for key in pieces(store) if url.rpartition("/")[2] in key)
        kept = b"".join(store.read(key))
        assert kept in contents
        assert won.headers["upload-offset"] == fleet[1].head(url).headers["upload-offset"] == str(len(kept))


def test_the_same_piece_sent_to_both_is_added_once(fleet: list[httpx.Client], store: Store) -> None:
    url = fleet[0].post("/v1/uploads").headers["location"]
    assert send(fleet[0], url, 0, b"x" * 1000).status_code == 204
    assert send(fleet[1], url, 0, b"x" * 1000).status_code == 409
    assert [fleet[1].head(url).headers["upload-offset"], len(pieces(store))] == ["1000", 1]


def test_an_api_that_is_killed_loses_the_open_piece_alone(apis: list[Settings], store: Store) -> None:
    port, content = servers.free_port(), random.Random(0).randbytes(20_000_000)
    killed, other = (api.model_copy(update={"upload_limit_bytes": 10**9}) for api in apis)
    variables = {"DATA_DIR": str(killed.data_dir), "DATABASE_URL": killed.database, "STORE_URL": killed.store}
    environment = os.environ | {f"CANEMAP_{name}": value for name, value in variables.items()}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment) as process, serving(other) as http:
        eventually(lambda: answers(port))
        url = http.post("/v1/uploads").headers["location"]
        head = f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nContent-Length: {len(content)}"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{head}\r\n\r\n".encode() + content[:-1000])
            eventually(lambda: int(http.head(url).headers["upload-offset"]) >= 16 * 1024**2)
            process.send_signal(signal.SIGKILL)
        kept = int(http.head(url).headers["upload-offset"])
        assert kept < len(content)
        assert send(http, url, kept, content[kept:]).headers["upload-offset"] == str(len(content))
    stored = sorted(pieces(store), key=lambda key: int(key.rpartition("-")[2]))
    assert b"".join(b"".join(store.read(key)) for key in stored) == content


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", verify=False).is_success
    except httpx.TransportError:
        return False


def test_bytes_before_the_connection_broke_are_kept_and_checked_pieces_are_not(
    fleet: list[httpx.Client], store: Store
) -> None:
    url, (host, port) = (
        fleet[0].post("/v1/uploads").headers["location"],
        (fleet[0].base_url.host, fleet[0].base_url.port),
    )
    head = f"PATCH {url} HTTP/1.1\r\nHost: {host}\r\nUpload-Offset: 0\r\nContent-Length: 1000\r\n"
    with socket.create_connection((host, port or 0)) as connection:
        connection.sendall(f"{head}\r\n".encode() + b"x" * 500)
        time.sleep(0.3)
    eventually(lambda: fleet[1].head(url).headers["upload-offset"] == "500")
    wrong = {"Upload-Offset": "500", "Content-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"}
    assert fleet[1].patch(url, content=b"y" * 500, headers=wrong).status_code == 422
    assert fleet[0].head(url).headers["upload-offset"] == "500"
    assert len(pieces(store)) == 1


def test_a_deleted_and_an_expired_upload_leave_no_piece(
    fleet: list[httpx.Client], apis: list[Settings], store: Store
) -> None:
    urls = [fleet[0].post("/v1/uploads").headers["location"] for _ in range(3)]
    for url in urls:
        assert send(fleet[0], url, 0, b"x" * 1000).status_code == 204
    assert fleet[1].delete(urls[0]).status_code == 204
    services = Services.open(apis[0])
    with services.database.write() as session:
        session.get_one(UnfinishedUpload, urls[1].rpartition("/")[2]).touched = now() - timedelta(days=2)
    lost = apis[0].data_dir / "lost"
    lost.write_bytes(b"recorded by nobody")
    store.put(lost, f"uploads/{'0' * 32}/0")
    retention.sweep(services)
    services.close()
    assert [fleet[1].head(url).status_code for url in urls] == [404, 404, 204]
    (kept,) = pieces(store)
    assert urls[2].rpartition("/")[2] in kept
