"""Stored files are read in the background, and damage is found although a file seems unchanged; on both databases."""

import os
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.columns import now
from app.core.errors import Damaged
from app.operations.readiness import Readiness
from app.services import Services
from app.storage import LocalStore
from app.storage.integrity import Checker
from app.storage.store import sha256_in
from app.tables import Scrub
from app.upkeep import scrubbing
from app.upkeep.scrubbing import Scrubber
from tests import commands
from tests.app.upkeep.rows import label_set


def rot(services: Services, key: str) -> Path:
    """Change one byte of a file and leave its size and times as they were."""
    assert isinstance(services.store, LocalStore)
    path = services.store.path(key)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


def fast(services: Services) -> Services:
    return replace(services, settings=services.settings.model_copy(update={"scrub_mb_s": 10_000.0}))


def scrub(services: Services) -> None:
    Scrubber(services, lambda seconds: False).run()


def again(services: Services) -> None:
    """Let the last round have begun long ago."""
    with services.database.write() as session:
        row = session.get_one(Scrub, 1)
        assert row.ended is not None
        row.began = now() - timedelta(days=31)


def test_bit_rot_is_found_by_a_round_and_told_until_the_file_is_restored(services: Services, tmp_path: Path) -> None:
    services = fast(services)
    keys = {name: label_set(services, tmp_path, name, f"labels of {name}".encode()) for name in ("a", "b", "c")}
    scrub(services)
    readiness = Readiness(services)
    assert (readiness.damaged(), readiness.warnings()) == (0, ())
    rotten = rot(services, keys["b"])
    assert isinstance(services.store, LocalStore)
    services.store.path(keys["c"]).rename(tmp_path / "c")
    scrub(services)
    assert readiness.damaged() == 0, "the next round begins after CANEMAP_SCRUB_D"
    again(services)
    scrub(services)
    assert {note.code: note.detail for note in readiness.warnings()} == {
        "damaged_file": "A stored file of labels 'b' is damaged.",
        "missing_file": "A stored file of labels 'c' is missing.",
    }
    rotten.write_bytes(b"labels of b")
    (tmp_path / "c").rename(services.store.path(keys["c"]))
    again(services)
    scrub(services)
    assert readiness.damaged() == 0


def test_two_processes_share_a_round(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = fast(services)
    keys = [label_set(services, tmp_path, f"l{number}") for number in range(6)]
    read: list[str] = []
    scrubbers = [Scrubber(services, lambda seconds: False) for _ in range(2)]
    while taken := [resource for scrubber in scrubbers if (resource := scrubber._next())]:
        read += [id_ for _, ids in taken for id_ in ids]
    assert sorted(read) == [f"l{number}" for number in range(len(keys))], "each is read once"


def test_a_round_is_as_slow_as_it_should_be_and_stops_at_once(services: Services, tmp_path: Path) -> None:
    label_set(services, tmp_path, "large", bytes(3_000_000))
    label_set(services, tmp_path, "other", bytes(3_000_000))
    slept: list[float] = []

    def wait(seconds: float) -> bool:
        slept.append(seconds)
        return sum(slept) > 0.2

    Scrubber(services, wait).run()  # at 10 MB/s
    assert 0.2 < sum(slept) < 0.32, "it stops in the middle of a file"


def test_a_file_that_seems_unchanged_is_trusted_for_a_day_at_most(services: Services, tmp_path: Path) -> None:
    time_s = 0.0
    checker = Checker(86_400, lambda: time_s)
    key = label_set(services, tmp_path, "a")
    assert isinstance(services.store, LocalStore)
    path = services.store.path(key)
    checker.check(path, key)
    rot(services, key)
    checker.check(path, key)
    time_s = 86_401
    with pytest.raises(Damaged):
        checker.check(path, key)
    with pytest.raises(Damaged):
        Checker(0).check(path, key)


def test_a_store_is_read_in_pieces_as_it_is(services: Services, tmp_path: Path) -> None:
    key = label_set(services, tmp_path, "a", b"0123456789")
    assert b"".join(services.store.read(key)) == b"0123456789"
    (item,) = services.store.objects()
    assert (item.key, item.size_bytes) == (key, 10)
    assert abs(now() - item.modified) < timedelta(hours=1)
    assert len(sha256_in(key)) == 64
    with pytest.raises(Damaged):
        list(services.store.read(key.replace("a/", "b/")))


def canemap(services: Services, *arguments: str) -> "subprocess.CompletedProcess[str]":
    settings = services.settings
    variables = {"CANEMAP_DATA_DIR": str(settings.data_dir), "CANEMAP_DATABASE_URL": settings.database_url}
    return commands.run(*arguments, env=os.environ | variables | {"COLUMNS": "1000"})


def test_the_command_checks_all_files_and_lists_orphans(services: Services, tmp_path: Path) -> None:
    key = label_set(services, tmp_path, "a")
    assert canemap(services, "files", "check").returncode == 0
    rot(services, key)
    checked = canemap(services, "files", "check")
    assert (checked.returncode, f"{key}: damaged" in checked.stderr) == (1, True)
    assert scrubbing.check(services, key) == "damaged"
    (tmp_path / "x").write_bytes(b"x")
    orphan = services.store.put(tmp_path / "x", "labels/x/layer").object
    assert "There are none." in canemap(services, "files", "orphans").stdout
    assert orphan in canemap(services, "files", "orphans", "--days", "0").stdout
    assert "were deleted" in canemap(services, "files", "orphans", "--days", "0", "--delete").stdout
    assert list(services.store.keys("")) == [key]


@pytest.mark.parametrize("command", ["save x", "check", "orphans"])
def test_a_folder_without_a_service_is_named_and_left_as_it_is(tmp_path: Path, command: str) -> None:
    variables = {"COLUMNS": "1000"} | dict.fromkeys(("CANEMAP_DATABASE_URL", "CANEMAP_STORE_URL"), "")
    for folder in ("canemap-data", "empty"):
        if folder == "empty":
            (tmp_path / folder).mkdir()
            variables["CANEMAP_DATA_DIR"] = folder
        done = commands.run("files", *command.split(), env=os.environ | variables, cwd=tmp_path)
        assert done.returncode == 2
        assert str(tmp_path / folder) in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
