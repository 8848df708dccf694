"""The store: complete or not there."""

from pathlib import Path

import pytest

from app.storage import LocalStore, sha256_of


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_what_is_put_can_be_read_under_its_key(store: LocalStore) -> None:
    with store.incoming() as path:
        path.write_bytes(b"cane")
        stored = store.put(path, "scenes/a/b.tif")
        assert not path.exists()
    assert store.path("scenes/a/b.tif").read_bytes() == b"cane"
    assert (stored.size_bytes, stored.sha256) == (4, sha256_of(store.path("scenes/a/b.tif")))


def test_a_file_on_its_way_in_is_gone_when_nobody_took_it(store: LocalStore) -> None:
    with pytest.raises(RuntimeError), store.incoming() as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_deleting_twice_is_harmless(store: LocalStore) -> None:
    with store.incoming() as path:
        path.write_bytes(b"cane")
        store.put(path, "a")
    store.delete("a")
    store.delete("a")
    assert not store.path("a").exists()


def test_a_folder_that_cannot_be_written_is_noticed(store: LocalStore) -> None:
    assert store.writable()
    (store.root / "incoming").rmdir()
    assert not store.writable()
