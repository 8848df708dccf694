"""A bucket behind a bad network, and processes that are killed while they use it. With a real S3 server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.core.errors import StoreAway
from app.storage import Cache, integrity, open_store, sha256_of
from app.storage.download import RANGE_BYTES, TRIES
from app.storage.s3 import PART_BYTES, S3Store
from benchmarks.soak.fleet import ROOT
from tests.faulty_http import ALL, Asked, Proxy, proxy_before

WORKERS = 4
TAKE = """
import sys
from pathlib import Path
from app.storage import Cache, open_store
url, cache, key, folder = sys.argv[1:]
open_store(url, Cache(Path(cache), 10**9)).take(key, Path(folder))
"""
DIE_IN_AN_UPLOAD = """
import os, signal, sys
from pathlib import Path
from app.storage import Cache, open_store
url, cache, source = sys.argv[1:]
store = open_store(url, Cache(Path(cache), 10**9))
def die(params, **_):
    if params["PartNumber"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
store._client.meta.events.register("provide-client-params.s3.UploadPart", die)
store.put(Path(source), "a/large")
"""


@pytest.fixture
def proxy(s3_server: str) -> Iterator[Proxy]:
    with proxy_before(s3_server) as proxy:
        yield proxy


@pytest.fixture
def url(s3_url: str, proxy: Proxy) -> str:
    """The URL of an empty store behind the proxy."""
    return s3_url.partition("?")[0] + f"?endpoint={proxy.url}"


@pytest.fixture
def store(url: str, tmp_path: Path) -> S3Store:
    store = open_store(url, Cache(tmp_path / "cache", 10**9))
    assert isinstance(store, S3Store)
    return store


def large(folder: Path, ranges: int) -> Path:
    """A file of some ranges and a little more, with other bytes in each."""
    path = folder / "large"
    with path.open("wb") as file:
        for number in range(ranges):
            file.write(bytes([number + 1]) * RANGE_BYTES)
        file.write(b"end")
    return path


def ranges(proxy: Proxy) -> list[str]:
    return [asked.range or "" for asked in proxy.asked if asked.method == "GET"]


def first(range_: str) -> int:
    """The first byte of a range."""
    return int(range_.removeprefix("bytes=").partition("-")[0])


def test_a_download_whose_connection_breaks_goes_on_where_it_was(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    key = store.put(large(tmp_path, 2), "a/large").object
    proxy.cut = lambda asked: 5_000_000 if (asked.range or "").startswith("bytes=0-") else None
    assert store.file(key).read_bytes() == (tmp_path / "large").read_bytes()
    asked = sorted(first(each) for each in ranges(proxy))
    assert len(asked) == 4 and asked[0] == 0 < asked[1] < RANGE_BYTES, "three ranges, and the rest of the first one"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [store.file(key).name]


def test_the_next_attempt_downloads_only_what_is_missing(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    key = store.put(large(tmp_path, 5), "a/large").object
    proxy.cut = lambda asked: 10 if asked.range and first(asked.range) // RANGE_BYTES == 2 else None
    with pytest.raises(StoreAway):
        store.take(key, tmp_path / "inputs")
    come = {each for each in ranges(proxy) if first(each) // RANGE_BYTES != 2}
    assert len(ranges(proxy)) == len(come) + TRIES
    proxy.asked.clear()
    proxy.cut = lambda asked: None
    assert store.take(key, tmp_path / "inputs").read_bytes() == (tmp_path / "large").read_bytes()
    assert len(ranges(proxy)) == 6 - len(come) and not come & set(ranges(proxy))


def test_what_a_killed_download_left_is_not_used_for_other_bytes(
    store: S3Store, proxy: Proxy, tmp_path: Path, url: str
) -> None:
    key = store.put(large(tmp_path, 2), "a/large").object
    proxy.cut = lambda asked: 10 if asked.range and first(asked.range) >= RANGE_BYTES else None
    with pytest.raises(StoreAway):
        store.file(key)
    (unfinished,) = (path for path in (tmp_path / "cache").glob("part-*") if not path.suffix)
    with unfinished.open("r+b") as file:
        file.write(b"power failed before this was written")
    proxy.cut = lambda asked: None
    with pytest.raises(Exception, match="damaged"):
        store.file(key)
    assert store.file(key).read_bytes() == (tmp_path / "large").read_bytes(), "the next one begins anew"


def test_many_workers_of_a_machine_download_and_hash_a_scene_once(
    store: S3Store, url: str, proxy: Proxy, tmp_path: Path
) -> None:
    key = store.put(large(tmp_path, 3), "a/large").object
    workers = [
        subprocess.Popen([sys.executable, "-c", TAKE, url, tmp_path / "cache", key, tmp_path / f"job-{each}"], cwd=ROOT)
        for each in range(WORKERS)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * WORKERS
    assert len(ranges(proxy)) == len(set(ranges(proxy))) == 4
    files = [next((tmp_path / f"job-{each}").iterdir()) for each in range(WORKERS)]
    assert len({path.stat().st_ino for path in files}) == 1
    assert not list((tmp_path / "cache").glob("lock-*"))


def test_a_scene_is_hashed_once_for_all_processes_of_a_machine(
    store: S3Store, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.put(large(tmp_path, 1), "a/large").object
    hashed: list[Path] = []

    def noted(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr(integrity, "sha256_of", noted)
    for part in range(3):  # each with a memory of its own, like the process of each part
        open_store(url, Cache(tmp_path / "cache", 10**9)).take(key, tmp_path / f"part-{part}")
    assert len(hashed) == 1
    untrusting = open_store(url, Cache(tmp_path / "cache", 10**9), trust_s=0)
    untrusting.take(key, tmp_path / "part-4")
    assert len(hashed) == 2


def test_an_upload_whose_last_answer_is_lost_is_complete(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(PART_BYTES + 1)
    lost: list[Asked] = []

    def cut(asked: Asked) -> int | None:
        if asked.method == "POST" and "uploadId=" in asked.path and not lost:
            lost.append(asked)
            return ALL
        return None

    proxy.cut = cut
    stored = store.put(path, "a/large")
    assert lost and store.take(stored.object, tmp_path / "inputs").stat().st_size == PART_BYTES + 1
    assert unfinished(store) == []


def test_an_upload_that_was_completed_is_not_sent_again(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    """Servers forget a completed upload at once, or later; whatever they answer then, the object is there."""
    path = tmp_path / "small"
    path.write_bytes(b"cane")
    stored = store.put(path, "a/b")
    target = {"Bucket": "canemap", "Key": store._prefix + stored.object}
    gone = target | {"UploadId": "0123456789abcdef0123456789abcdef01234567"}
    store._complete(gone, [{"PartNumber": 1, "ETag": '"x"'}], 4)
    with pytest.raises(store._client.exceptions.ClientError):
        store._complete(gone, [{"PartNumber": 1, "ETag": '"x"'}], 5)


def test_parts_that_a_killed_process_left_are_swept(store: S3Store, url: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(PART_BYTES + 1)
    done = subprocess.run([sys.executable, "-c", DIE_IN_AN_UPLOAD, url, tmp_path / "cache", path], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert len(unfinished(store)) == 1 and not list(store.keys(""))
    assert store.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0, "another process may be at it"
    assert store.sweep(datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert unfinished(store) == []


def unfinished(store: S3Store) -> list[str]:
    found = store._client.list_multipart_uploads(Bucket="canemap", Prefix=store._prefix)
    return [item["Key"] for item in found.get("Uploads", ())]


def test_files_that_an_upload_to_a_folder_left_are_swept(tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri(), Cache(tmp_path / "cache", 10**9))
    with store.incoming() as path:
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 3600,) * 2)
        assert store.sweep(datetime.now(UTC) - timedelta(hours=2)) == 0
        assert store.sweep(datetime.now(UTC) - timedelta(minutes=30)) == 1
