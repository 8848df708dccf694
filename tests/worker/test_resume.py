"""Resume files of trainings in the store, for other machines; on both databases, in a folder and on an S3 server."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.jobs import lifecycle
from app.jobs.claims import Claim
from app.services import Services
from app.storage import Cache, LocalStore, Store, open_store
from tests import servers
from worker import resume
from worker.resume import ResumeFile


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = (tmp_path / "store").as_uri() if request.param == "folder" else request.getfixturevalue("s3_url")
    return open_store(url, Cache(tmp_path / "cache", 10**9))


def attempt(store: Store, folder: Path, number: int) -> tuple[ResumeFile, Path]:
    """The resume file of an attempt on a new machine, and its path."""
    scratch = folder / f"machine-{number}" / str(number)
    scratch.mkdir(parents=True)
    return ResumeFile(store, Claim("trn_1", "training", number), scratch), scratch / resume.FILE


def write(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def test_another_machine_resumes_from_the_last_epoch(store: Store, tmp_path: Path) -> None:
    first, path = attempt(store, tmp_path, 1)
    first.fetch()
    assert not path.exists()
    for epoch in range(1, 12):
        write(path, f"epoch {epoch}")
        first.keep()
        first.keep()  # once more after the same epoch
    assert len(list(store.keys("resume/"))) == 1
    second, path = attempt(store, tmp_path, 2)
    second.fetch()
    assert path.read_text() == "epoch 11"


def test_an_attempt_without_a_claim_cannot_change_the_file_of_the_next(store: Store, tmp_path: Path) -> None:
    zombie, zombies = attempt(store, tmp_path, 1)
    write(zombies, "epoch 1")
    zombie.keep()
    second, path = attempt(store, tmp_path, 2)
    second.fetch()
    write(path, "epoch 2")
    second.keep()
    for epoch in (1, 2, 3):
        write(zombies, f"zombie's epoch {epoch}")
        zombie.keep()
    third, path = attempt(store, tmp_path, 3)
    third.fetch()
    assert path.read_text() == "epoch 2"


def test_a_damaged_file_is_ignored(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    for number in (1, 2):
        resume_file, path = attempt(store, tmp_path, number)
        write(path, f"attempt {number}")
        resume_file.keep()
    newest = next(key for key in store.keys("resume/") if "-000002-" in key)
    store.path(newest).write_text("attempt 9")
    resume_file, path = attempt(store, tmp_path, 3)
    resume_file.fetch()
    assert path.read_text() == "attempt 1"


def test_the_sweep_deletes_resume_files_of_jobs_that_have_ended(
    services: Services, store: Store, tmp_path: Path
) -> None:
    resume_file, path = attempt(store, tmp_path, 1)
    write(path, "epoch 1")
    with services.database.write() as session:
        lifecycle.create(session, "trn_1", "training")
    resume_file.keep()
    resume.sweep(store, services.database, timedelta(0))
    assert len(list(store.keys("resume/"))) == 1
    with services.database.write() as session:
        lifecycle.dismiss(session, "trn_1")
    resume.sweep(store, services.database, timedelta(days=1))
    assert len(list(store.keys("resume/"))) == 1, "it can be done again"
    resume.sweep(store, services.database, timedelta(0))
    assert list(store.keys("resume/")) == []


def test_a_store_that_cannot_be_reached_does_not_stop_a_training(s3_url: str, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{servers.free_port()}"
    away = open_store(f"s3://canemap/x?endpoint={nobody}", Cache(tmp_path / "cache", 10**9))
    resume_file, path = attempt(away, tmp_path, 1)
    resume_file.fetch()
    write(path, "epoch 1")
    resume_file.keep()
    assert path.read_text() == "epoch 1"
