"""What a job goes on from, kept in the store so that another machine can: epochs of a training, parts of a map."""

import shutil
from pathlib import Path

import structlog
from sqlalchemy import select

from app.core.db import Database
from app.core.errors import Damaged, StoreAway
from app.jobs import lifecycle
from app.jobs.lifecycle import Claim
from app.storage import Store, sha256_of
from app.tables import Job

FILE = "resume.safetensors"
log = structlog.get_logger()


class ResumeFile:
    """The resume file of one attempt. Each has keys of its own: who was given up cannot reach its successor's.

    A store that is away is no reason to stop: without the file, the next attempt has more to do again.
    """

    def __init__(self, store: Store, claim: Claim, folder: Path) -> None:
        self._store = store
        self._claim = claim
        self._path = folder / FILE
        self._sha256 = ""
        self._last = ""
        self._count = 0

    def fetch(self) -> None:
        """Bring what the attempt before left, unless the scratch folder has it: the newest file that is intact."""
        if self._path.exists():
            return
        try:
            for key in sorted(self._store.keys(place_of(self._claim.job_id)), key=_age, reverse=True):
                if self._bring(key):
                    return
        except StoreAway as error:
            log.warning("nothing to resume from: the store is away", error=error.detail)

    def keep(self) -> None:
        """Put the file into the store, if it is another than the last time, and delete that one."""
        if not self._path.exists() or (sha256 := sha256_of(self._path)) == self._sha256:
            return
        place = f"{place_of(self._claim.job_id)}{self._claim.attempt:06d}-{self._count:06d}-{FILE}"
        try:
            last, self._last = self._last, self._store.put(self._path, place, sha256=sha256).object
            self._sha256, self._count = sha256, self._count + 1
            if last:
                self._store.delete(last)
        except StoreAway as error:
            log.warning("epoch not kept: the store is away", error=error.detail)

    def _bring(self, key: str) -> bool:
        try:
            found = self._store.take(key, self._path.parent.with_name("inputs"))
        except Damaged as error:
            log.warning("cannot resume from it", error=error.detail)
            return False
        part = self._path.with_suffix(".part")
        shutil.copyfile(found, part)
        part.replace(self._path)
        return True


def forget(store: Store, job_id: str) -> None:
    """Delete what is kept for a job that has ended."""
    try:
        for key in list(store.keys(place_of(job_id))):
            store.delete(key)
    except StoreAway as error:
        log.warning("left for the sweep: the store is away", error=error.detail)


def sweep(store: Store, database: Database) -> None:
    """Forget what is kept for jobs that have ended without a worker, or are gone."""
    try:
        kept = {key.split("/")[1] for key in store.keys("resume/")}
    except StoreAway as error:
        log.warning("not swept: the store is away", error=error.detail)
        return
    with database.read() as session:
        unfinished = select(Job.id).where(Job.status.not_in(lifecycle.FINAL))
        for job_id in kept - set(session.scalars(unfinished)):
            forget(store, job_id)


def _age(key: str) -> str:
    """By attempt, then by epoch: what follows the sha256 in the last part of a key."""
    return key.rpartition("/")[2].partition("-")[2]


def place_of(job_id: str) -> str:
    """Where in the store: what lies there is forgotten when the job has ended."""
    return f"resume/{job_id}/"
