"""Scratch folders on the disk of the worker, one for each attempt at a job."""

import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from app.core import tenancy
from app.core.db import Database
from app.core.errors import NoRoom
from app.core.room import says_no_room
from app.jobs import lifecycle
from app.jobs.claims import Claim
from app.storage import Store
from app.tables import Job
from ml.faults import Fault, InputRefused

LEAST_BYTES = 2**20  # with less free space than this the disk counts as full


def prepare(root: Path, claim: Claim) -> Path:
    """Make the scratch folder of an attempt and return it, with a copy of the last attempt's files to resume from.

    The folder appears only when the copy is complete. Files are copied because a process that lost its claim may still
    write to its own folder.

    Raises `NoRoom` when the disk is full.
    """
    folder = folder_of(root, claim.job_id) / str(claim.attempt)
    part = folder.with_name(f"{claim.attempt}.part")
    earlier = sorted(int(path.name) for path in folder.parent.glob("*") if path.name.isdigit())
    part.mkdir(parents=True)
    try:
        if earlier:
            shutil.copytree(folder.with_name(str(earlier[-1])), part, dirs_exist_ok=True)
    except OSError as error:
        refusal = full(root) if no_room(root, error) else error
        shutil.rmtree(part, ignore_errors=True)
        raise refusal from error
    part.replace(folder)
    for attempt in earlier[:-1]:
        shutil.rmtree(folder.with_name(str(attempt)), ignore_errors=True)
    return folder


def full(root: Path) -> NoRoom:
    """The error for a full disk."""
    return NoRoom("no-room", f"The disk of this worker is full. Free some space in {root}.")


def require(folder: Path, most_bytes: int) -> None:
    """Refuse work that will write `most_bytes` of unfinished results into a scratch folder, if they cannot fit.

    Raises `InputRefused` if the whole disk is smaller, and `NoRoom` if other files take the room at this moment.
    """
    disk = shutil.disk_usage(folder)
    needed = f"This job writes {_gib(most_bytes)} of unfinished results"
    if most_bytes > disk.total:
        hint = "Use a smaller part of the scene, or fewer scenes, or ask whoever runs the service for a larger disk."
        detail = f"{needed}; the whole disk of its worker has {_gib(disk.total)}."
        raise InputRefused(Fault("too_large", detail, hint))
    if most_bytes + LEAST_BYTES > disk.free:
        detail = f"{needed}; {_gib(disk.free)} are free on the disk of its worker."
        raise NoRoom("no-room", f"{detail} Free some space in {folder}.", Fault("no_room", detail, ""))


def _gib(number: int) -> str:
    return f"{number / 2**30:,.3g} GiB"


def fetcher(store: Store, folder: Path) -> Callable[[str], Path]:
    """A function that fetches an object of the store, checked, into the folder of inputs that all attempts share.

    folder: The scratch folder of an attempt.
    """
    return lambda key: store.take(key, folder.with_name("inputs"))


def no_room(root: Path, error: BaseException | None) -> bool:
    """Whether the disk of `root` is full, or was full when `error` occurred.

    Libraries that write files may raise another error from that one, and delete the file.
    """
    return says_no_room(error) or shutil.disk_usage(root).free < LEAST_BYTES


def remove(root: Path, job_id: str) -> None:
    """Delete the scratch folders of all attempts at a job."""
    shutil.rmtree(folder_of(root, job_id), ignore_errors=True)


def sweep(root: Path, database: Database) -> None:
    """Delete the scratch folders of all jobs that have ended or do not exist."""
    found = list(root.iterdir()) if root.is_dir() else []  # before the jobs: a job that begins meanwhile has its folder
    with tenancy.acting_for(tenancy.ALL), database.read() as session:
        open_jobs = session.scalars(select(Job.id).where(Job.status.not_in(lifecycle.FINAL)))
        wanted = {folder_of(root, job_id).name for job_id in open_jobs}
    for folder in found:
        if folder.name not in wanted:
            shutil.rmtree(folder, ignore_errors=True)


def folder_of(root: Path, job_id: str) -> Path:
    """The folder of all attempts at a job, and of the inputs that they share."""
    return root / tenancy.file_name(job_id).replace(":", "@")  # no id has an @, so no two jobs share a folder
