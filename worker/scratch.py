"""Scratch folders: one for each attempt at a job, on the disk of the worker."""

import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from app import jobs
from app.db import Database
from app.jobs import Claim
from app.models import Job
from app.storage import Store


def prepare(root: Path, claim: Claim) -> Path:
    """The folder of this attempt, holding a copy of what the attempt before left, so that work resumes.

    A copy: a worker that was given up but still writes cannot reach into the folder of its successor.
    """
    folder = _folder(root, claim.job_id) / str(claim.attempt)
    before = folder.with_name(str(claim.attempt - 1))
    if before.is_dir():
        shutil.copytree(before, folder, dirs_exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def taking(store: Store, folder: Path) -> Callable[[str], Path]:
    """A function that brings an object of the store, checked, to where all attempts at a job keep their inputs."""
    return lambda key: store.take(key, folder.with_name("inputs"))


def remove(root: Path, job_id: str) -> None:
    """Forget all attempts at a job."""
    shutil.rmtree(_folder(root, job_id), ignore_errors=True)


def sweep(root: Path, database: Database) -> None:
    """Forget the folders of jobs that have ended without a worker, or are gone."""
    with database.read() as session:
        open_jobs = session.scalars(select(Job.id).where(Job.status.not_in(jobs.FINAL)))
        wanted = {_folder(root, job_id).name for job_id in open_jobs}
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.name not in wanted:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(root: Path, job_id: str) -> Path:
    return root / job_id.replace(":", "@")  # no name has an @, so no two jobs share a folder
