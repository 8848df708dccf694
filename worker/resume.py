"""Unfinished results in the store, from which another machine resumes a job: epochs of a training, parts of a map."""

import shutil
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import and_, or_, select

from app.core import tenancy
from app.core.columns import now
from app.core.db import Database
from app.core.errors import Damaged, StoreAway
from app.jobs import lifecycle
from app.jobs.claims import Claim
from app.storage import Store, sha256_of
from app.tables import Job

FILE = "resume.safetensors"
log = structlog.get_logger()


class ResumeFile:
    """The resume file of one attempt at a training, in the scratch folder and in the store.

    Each attempt has different keys in the store, so a worker that lost its claim cannot change the file of the next
    attempt. If the store cannot be reached, the work continues: without the file, the next attempt must repeat more.
    """

    def __init__(self, store: Store, claim: Claim, folder: Path) -> None:
        self._store = store
        self._claim = claim
        self._path = folder / FILE
        self._sha256 = ""
        self._last = ""
        self._count = 0

    def fetch(self) -> bool:
        """Copy the newest intact file of an earlier attempt into the scratch folder, unless there is one already.

        Returns whether there is a file now.
        """
        if self._path.exists():
            return True
        try:
            keys = sorted(self._store.keys(place_of(self._claim.job_id)), key=_age, reverse=True)
            return any(map(self._copy, keys))
        except StoreAway as error:
            log.warning("nothing to resume from: the store cannot be reached", error=error.detail)
            return False

    def keep(self) -> None:
        """Store the file if it has changed since the last call, and delete the older one from the store."""
        if not self._path.exists() or (sha256 := sha256_of(self._path)) == self._sha256:
            return
        place = f"{place_of(self._claim.job_id)}{self._claim.attempt:06d}-{self._count:06d}-{FILE}"
        try:
            last, self._last = self._last, self._store.put(self._path, place, sha256=sha256).object
            self._sha256, self._count = sha256, self._count + 1
            if last:
                self._store.delete(last)
        except StoreAway as error:
            log.warning("the epoch was not stored: the store cannot be reached", error=error.detail)

    def _copy(self, key: str) -> bool:
        """Copy the object into the scratch folder. Returns False when it is damaged."""
        try:
            found = self._store.take(key, self._path.parent.with_name("inputs"))
        except Damaged as error:
            log.warning("cannot resume from a damaged file", error=error.detail)
            return False
        part = self._path.with_suffix(".part")
        shutil.copyfile(found, part)
        part.replace(self._path)
        return True


def forget(store: Store, job_id: str) -> None:
    """Delete the unfinished results of a job that has ended."""
    _forget(store, place_of(job_id))


def _forget(store: Store, place: str) -> None:
    try:
        for key in list(store.keys(place)):
            store.delete(key)
    except StoreAway as error:
        log.warning("unfinished results stay until the next sweep: the store cannot be reached", error=error.detail)


def sweep(store: Store, database: Database, keep: timedelta) -> None:
    """Delete the unfinished results of jobs that have succeeded, have ended `keep` ago, or do not exist."""
    try:
        kept = {key.split("/")[1] for key in store.keys("resume/")}
    except StoreAway as error:
        log.warning("unfinished results were not swept: the store cannot be reached", error=error.detail)
        return
    with database.read() as session:
        can_be_retried = and_(Job.status.in_(lifecycle.UNSUCCESSFUL), Job.finished > now() - keep)
        unfinished = select(Job.id).where(or_(Job.status.not_in(lifecycle.FINAL), can_be_retried))
        for name in kept - {tenancy.file_name(job_id) for job_id in session.scalars(unfinished)}:
            _forget(store, f"resume/{name}/")


def _age(key: str) -> str:
    """The sort key of a file by attempt, then by epoch: what follows the sha256 in the last component of `key`."""
    return key.rpartition("/")[2].partition("-")[2]


def place_of(job_id: str) -> str:
    """The place in the store of a job's unfinished results, which are deleted when the job has ended."""
    return f"resume/{tenancy.file_name(job_id)}/"
