"""Scratch folders: a resume starts from a copy, and nothing is left behind."""

from pathlib import Path

from app import jobs
from app.jobs import Claim
from app.services import Services
from worker import scratch


def claim(attempt: int, job_id: str = "gx:1") -> Claim:
    return Claim(job_id, "dataset", attempt)


def test_an_attempt_starts_from_a_copy_of_what_the_one_before_left(tmp_path: Path) -> None:
    first = scratch.prepare(tmp_path, claim(1))
    (first / "resume").write_text("epoch 3")
    second = scratch.prepare(tmp_path, claim(2))
    assert (second / "resume").read_text() == "epoch 3"
    (first / "resume").write_text("written by a worker that was given up")
    assert (second / "resume").read_text() == "epoch 3"


def test_jobs_never_share_a_folder(tmp_path: Path) -> None:
    folders = {scratch.prepare(tmp_path, claim(1, job_id)) for job_id in ("gx:1", "gx-1", "gx.1", "gx:11")}
    assert len(folders) == 4


def test_a_sweep_keeps_the_folders_of_open_jobs_only(services: Services, tmp_path: Path) -> None:
    with services.database.write() as session:
        jobs.create(session, "gx:1", "dataset")
        jobs.create(session, "gx:2", "dataset")
        jobs.dismiss(session, "gx:2")
    for job_id in ("gx:1", "gx:2", "gone:1"):
        scratch.prepare(tmp_path, claim(1, job_id))
    scratch.sweep(tmp_path, services.database)
    assert [folder.name for folder in tmp_path.iterdir() if "@" in folder.name] == ["gx@1"]
    scratch.remove(tmp_path, "gx:1")
    assert not (tmp_path / "gx@1").exists()
