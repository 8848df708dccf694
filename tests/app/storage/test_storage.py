"""Objects of a store are complete or missing, and have the bytes that were stored. In a folder and on an S3 server."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.errors import Damaged, StoreAway
from app.storage import Cache, LocalStore, Store, open_store, sha256_of
from app.storage.s3 import PART_BYTES, S3Store
from tests import servers
from tests.disks import on_a_small_disk

Damage = Callable[[str, bytes], None]
Read = Callable[[str], Path]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9)


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, cache: Cache) -> Store:
    url = (tmp_path / "store").as_uri() if request.param == "folder" else request.getfixturevalue("s3_url")
    return open_store(url, cache)


@pytest.fixture
def damage(store: Store) -> Damage:
    """A function that replaces the bytes under a key without the store's methods."""

    def other_bytes(key: str, content: bytes) -> None:
        if isinstance(store, LocalStore):
            store.path(key).write_bytes(content)
        else:
            assert isinstance(store, S3Store)
            store._client.put_object(Bucket="canemap", Key=store._prefix + key, Body=content)

    return other_bytes


def put(store: Store, place: str, content: bytes) -> str:
    with store.incoming() as path:
        path.write_bytes(content)
        return store.put(path, place).object


def reading(store: Store, folder: Path) -> list[Read]:
    """The two methods that read an object."""
    return [store.file, lambda key: store.take(key, folder / "inputs")]


def test_a_stored_file_can_be_read_under_its_key(store: Store, tmp_path: Path) -> None:
    with store.incoming() as path:
        path.write_bytes(b"cane")
        stored = store.put(path, "scenes/a/scene.tif")
    sha256 = hashlib.sha256(b"cane").hexdigest()
    assert not path.exists()
    assert (stored.object, stored.sha256, stored.size_bytes) == (f"scenes/a/{sha256}-scene.tif", sha256, 4)
    assert store.file(stored.object).read_bytes() == b"cane"
    assert store.take(stored.object, tmp_path / "inputs").read_bytes() == b"cane"


def test_an_incoming_file_that_is_not_stored_is_deleted(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), store.incoming() as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list(store.keys("")) == []


def test_files_that_a_killed_process_left_are_deleted_after_a_day(store: Store, cache: Cache) -> None:
    with store.incoming() as path:
        old, new = path.with_name("part-old"), path.with_name("part-new")
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    if isinstance(store, LocalStore):
        LocalStore(store.root)
    else:
        cache.get("another", lambda part: part.touch())
    assert new.exists()
    assert not old.exists()


def test_the_same_bytes_may_be_stored_twice(store: Store) -> None:
    assert put(store, "a/b", b"cane") == put(store, "a/b", b"cane")
    assert put(store, "a/b", b"maize") != put(store, "a/b", b"cane")
    assert len(list(store.keys("a/"))) == 2


@pytest.mark.parametrize("content", [b"cana", b"can", b""], ids=["flipped", "truncated", "empty"])
def test_a_damaged_object_is_refused_and_named(store: Store, damage: Damage, tmp_path: Path, content: bytes) -> None:
    key = put(store, "a/b", b"cane")
    damage(key, content)
    for read in reading(store, tmp_path):
        with pytest.raises(Damaged, match=key):
            read(key)


def test_an_object_that_was_damaged_after_its_use_is_refused_at_the_next_use(
    store: Store, damage: Damage, tmp_path: Path
) -> None:
    key = put(store, "a/b", b"cane")
    path = store.take(key, tmp_path / "inputs")
    path.write_bytes(b"cana")  # the file on this disk, for both stores
    with pytest.raises(Damaged, match=key):
        store.take(key, tmp_path / "inputs")
    if isinstance(store, S3Store):  # the object in the bucket is intact, and the next attempt downloads it
        assert store.take(key, tmp_path / "inputs").read_bytes() == b"cane"


def test_storing_an_incomplete_object_again_repairs_it(store: Store, damage: Damage) -> None:
    key = put(store, "a/b", b"cane")
    damage(key, b"ca")
    assert put(store, "a/b", b"cane") == key
    assert store.file(key).read_bytes() == b"cane"


def test_a_missing_object_is_named(store: Store, tmp_path: Path) -> None:
    key = put(store, "a/b", b"cane")
    store.delete(key)
    store.delete(key)
    for read in reading(store, tmp_path):
        with pytest.raises(Damaged, match=f"{key}.*missing"):
            read(key)


def test_keys_are_listed_by_prefix_and_in_order(store: Store) -> None:
    keys = [put(store, place, place.encode()) for place in ("b/1/x", "a/2/x", "a/1/x")]
    assert list(store.keys("a/")) == [keys[2], keys[1]]
    assert list(store.keys("c/")) == []


def test_a_large_file_is_uploaded_in_several_requests(store: Store, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.write(b"start")
        file.truncate(PART_BYTES + 1)
    stored = store.put(large, "a/large")
    assert store.put(large, "a/large") == stored
    assert sha256_of(store.file(stored.object)) == stored.sha256 == sha256_of(large)


def test_a_working_store_has_no_fault(store: Store) -> None:
    assert store.fault() is None
    assert list(store.keys("")) == []


def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    (store.root / "incoming").rmdir()
    assert "cannot be written" in (store.fault() or "")


def test_a_store_on_a_full_disk_has_a_fault(tmp_path: Path) -> None:
    code = "import sys; from app.storage import LocalStore; from pathlib import Path; from tests.disks import fill\n"
    code += "disk = Path(sys.argv[1]); store = LocalStore(disk / 'store'); print(store.fault())\n"
    code += "fill(disk / 'full', 1 << 20); print(store.fault())"
    disk = tmp_path / "disk"
    done = subprocess.run(
        [*on_a_small_disk(disk, 40), sys.executable, "-c", code, disk], capture_output=True, text=True
    )
    empty, full = done.stdout.splitlines()[-2:]
    assert empty == "None" and "of at least 16,777,216" in full, done.stderr


def test_an_unreachable_server_is_a_fault_and_no_file_counts_as_missing(s3_url: str, cache: Cache) -> None:
    store = open_store(f"s3://canemap/x?endpoint=http://127.0.0.1:{servers.free_port()}&region=us-east-1", cache)
    assert "cannot be written" in (store.fault() or "")
    with pytest.raises(StoreAway, match="s3://canemap/x"):
        next(store.keys(""))


def test_with_wrong_credentials_no_file_counts_as_missing(
    s3_url: str, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = put(open_store(s3_url, cache), "a/b", b"cane")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreAway) as caught:
        open_store(s3_url, Cache(cache.folder / "other", 10**9)).file(key)
    assert "for-tests-only" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "store", "file://host/x", "s3://", "s3://key:secret@bucket", "s3://b?part=1", "gs://b"]
)
def test_a_url_that_names_no_store_is_refused(url: str, cache: Cache) -> None:
    with pytest.raises(ValueError, match="file:///folder"):
        open_store(url, cache)


def test_a_cache_keeps_the_files_that_were_used_last_within_its_limit(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=25)
    made: list[str] = []

    def get(name: str) -> Path:
        def make(path: Path) -> None:
            made.append(name)
            path.write_bytes(bytes(10))

        return cache.get(name, make)

    get("a"), get("b"), get("a"), get("c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    assert made == ["a", "b", "c"]
    assert get("b").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]
