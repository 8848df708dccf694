"""Scratch folders: an attempt resumes from a copy, and no folder is left behind."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.event import listens_for

from app.core.errors import NoRoom
from app.jobs import lifecycle
from app.jobs.claims import Claim
from app.services import Services
from ml.faults import InputRefused
from worker import scratch


def claim(attempt: int, job_id: str = "gx:1") -> Claim:
    return Claim(job_id, "dataset", attempt)


def test_an_attempt_starts_from_a_copy_of_the_last_folder(tmp_path: Path) -> None:
    first = scratch.prepare(tmp_path, claim(1))
    (first / "resume").write_text("epoch 3")
    second = scratch.prepare(tmp_path, claim(2))
    assert (second / "resume").read_text() == "epoch 3"
    (first / "resume").write_text("written by a worker that lost its claim")
    assert (second / "resume").read_text() == "epoch 3"


def test_an_attempt_starts_from_the_last_folder_here_and_older_folders_are_deleted(tmp_path: Path) -> None:
    for attempt in (1, 2):
        (scratch.prepare(tmp_path, claim(attempt)) / "resume").write_text(f"epoch {attempt}")
    fifth = scratch.prepare(tmp_path, claim(5))  # attempts 3 and 4 were on other machines
    assert (fifth / "resume").read_text() == "epoch 2"
    assert sorted(path.name for path in fifth.parent.iterdir()) == ["2", "5"]


def test_a_full_disk_is_recognised_by_the_error_or_by_its_context(tmp_path: Path) -> None:
    assert not scratch.no_room(tmp_path, ValueError())
    try:
        Path("/dev/full").write_text("x")
    except OSError as error:
        hidden = ValueError()
        hidden.__context__ = error
        assert scratch.no_room(tmp_path, error)
        assert scratch.no_room(tmp_path, hidden)
    else:
        raise AssertionError


def test_a_full_disk_is_recognised_by_the_error_of_a_geopackage(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "map.gpkg")) as package:
        package.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError, match="full") as full:
            package.execute("CREATE TABLE map AS SELECT zeroblob(100000)")
    assert scratch.no_room(tmp_path, full.value)


def test_two_jobs_never_share_a_folder(tmp_path: Path) -> None:
    folders = {scratch.prepare(tmp_path, claim(1, job_id)) for job_id in ("gx:1", "gx-1", "gx.1", "gx:11")}
    assert len(folders) == 4


def test_the_sweep_keeps_only_the_folders_of_jobs_that_have_not_ended(services: Services, tmp_path: Path) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "gx:1", "dataset")
        lifecycle.create(session, "gx:2", "dataset")
        lifecycle.dismiss(session, "gx:2")
    for job_id in ("gx:1", "gx:2", "gone:1"):
        scratch.prepare(tmp_path, claim(1, job_id))
    scratch.sweep(tmp_path, services.database)
    assert [folder.name for folder in tmp_path.iterdir() if "@" in folder.name] == ["gx@1"]
    scratch.remove(tmp_path, "gx:1")
    assert not (tmp_path / "gx@1").exists()


def test_the_sweep_keeps_the_folder_of_a_job_that_begins_meanwhile(services: Services, tmp_path: Path) -> None:
    scratch.prepare(tmp_path, claim(1, "gone:1"))

    @listens_for(services.database.engine, "after_cursor_execute")
    def begin(*_: object) -> None:
        """Another worker of this machine claims a job just after the sweep has read the database."""
        scratch.prepare(tmp_path, claim(1))

    scratch.sweep(tmp_path, services.database)
    assert [folder.name for folder in tmp_path.iterdir() if "@" in folder.name] == ["gx@1"]


def test_work_that_no_disk_here_can_hold_is_refused_and_work_that_fits_later_waits(tmp_path: Path) -> None:
    disk = shutil.disk_usage(tmp_path)
    scratch.require(tmp_path, disk.free // 2)
    with pytest.raises(NoRoom, match="are free on the disk of its worker"):
        scratch.require(tmp_path, (disk.free + disk.total) // 2)
    with pytest.raises(InputRefused, match="the whole disk of its worker has") as refused:
        scratch.require(tmp_path, disk.total + 1)
    assert [fault.code for fault in refused.value.faults] == ["too_large"]
