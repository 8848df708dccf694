"""A claimed job while it is worked on: heartbeat, progress, log, and the signs to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app import jobs
from app.db import Database
from app.models import now
from app.settings import Settings
from ml.progress import Progress, Stopped

GIVE_UP = 0.6  # of the lease: who could not beat for so long must expect that somebody else has the job
log = structlog.get_logger()


class Dismissed(Stopped):
    """Somebody dismissed the job."""


class Released(Stopped):
    """This worker is being stopped: the job goes back, unfinished."""


class Abandoned(Stopped):
    """The job is, or must be taken to be, somebody else's: publish nothing."""


class Held:
    """The right to work on one job. `watch` is what the work calls; it raises as soon as the work must stop."""

    def __init__(self, database: Database, settings: Settings, claim: jobs.Claim, stopping: threading.Event) -> None:
        self.claim = claim
        self.on_values: Callable[[Session, Progress], None] | None = None
        self._database = database
        self._settings = settings
        self._stopping = stopping
        self._reason: type[Stopped] | None = None
        self._progress: Progress | None = None
        self._lines: list[tuple[datetime, str]] = []
        self._stage_start = (time.monotonic(), 0)

    def watch(self, progress: Progress) -> None:
        """Take note of progress; raises a kind of `Stopped` when the work must end."""
        if self._progress is None or progress.stage != self._progress.stage:
            self._stage_start = (time.monotonic(), progress.done)
            self.log(f"{progress.stage}: {progress.total} to do")
        self._progress = progress
        if self._reason:
            raise self._reason
        if self._stopping.is_set():
            raise Released
        if progress.values and self.on_values:
            self._record(progress)
        if progress.note:
            self.log(progress.note)

    def log(self, text: str) -> None:
        """A line for the job's own log."""
        self._lines.append((now(), text))

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat from a thread of its own: also in the middle of a long step the job stays ours."""
        done = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(done,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def flush_log(self, session: Session) -> None:
        """Write the waiting lines of the log."""
        lines, self._lines = self._lines, []
        jobs.log(session, self.claim, lines)

    def _beat_until(self, done: threading.Event) -> None:
        last_beat = time.monotonic()
        while not done.wait(self._settings.heartbeat_s) and not self._reason:
            try:
                self._beat()
                last_beat = time.monotonic()
            except jobs.Lost:
                self._reason = Abandoned
            except Exception as error:  # the database may come back in time
                log.warning("no heartbeat", job=self.claim.job_id, error=str(error))
                if time.monotonic() - last_beat > GIVE_UP * self._settings.lease_s:
                    self._reason = Abandoned

    def _beat(self) -> None:
        with self._database.write() as session:
            dismiss = jobs.beat(session, self.claim, self._progress, self._eta_s())
            self.flush_log(session)
        if dismiss:
            self._reason = Dismissed

    def _record(self, progress: Progress) -> None:
        with self._database.write() as session:
            try:
                jobs.beat(session, self.claim, progress, self._eta_s())  # the fence: Lost rolls the values back
            except jobs.Lost:
                self._reason = Abandoned
                raise Abandoned from None
            if self.on_values:
                self.on_values(session, progress)
            self.flush_log(session)

    def _eta_s(self) -> float | None:
        """Seconds left in this stage, at the pace that it had so far."""
        if self._progress is None:
            return None
        start, first = self._stage_start
        worked = self._progress.done - first
        return (time.monotonic() - start) * (self._progress.total - self._progress.done) / worked if worked else None
