"""Tests within seconds whether everything that a job needs is available, even when one of these services hangs."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import SQLAlchemyError

from app.core.columns import now
from app.jobs.kinds import QUEUES
from app.operations.schema import schema_fault
from app.services import Services
from app.tables import DamagedFile, Worker
from app.upkeep import scrubbing
from ml.faults import MOST_FAULTS, Fault, Note

TIMEOUT_S = 4.0
WORKER_TIMEOUT = timedelta(seconds=30)  # a worker that has not reported for this time counts as gone
Ask = Callable[[], list[Fault]]

DATABASE_AWAY = Fault(
    "database",
    "The database cannot be reached.",
    "Start it, or correct CANEMAP_DATABASE_URL; then run `canemap migrate`.",
)
BROKER_AWAY = Fault(
    "broker", "The broker cannot be reached.", "Start it, or correct CANEMAP_BROKER_URL. Jobs are accepted meanwhile."
)
RESTORE = "`canemap files check` names the file: restore it from a backup, or delete what it belongs to."
RESTART = "Restart it; if that does not help, restart the machine or exchange its GPU."
STORE_HINT = "Check CANEMAP_STORE_URL, its credentials, and the owner and the free space of CANEMAP_DATA_DIR."


@dataclass
class Probe:
    """Asks one question in a thread. A service that hangs blocks only one thread, however often it is asked.

    name: what is asked, in words. ask: returns the faults that it finds.
    """

    name: str
    ask: Ask
    _asked: "_Question | None" = None

    def begin(self) -> "_Question":
        """Start to ask, unless the last question still waits for its answer. Returns the question."""
        if self._asked is None or self._asked.thread is None or not self._asked.thread.is_alive():
            self._asked = _Question(self.name, self.ask)
            self._asked.start()
        return self._asked


@dataclass
class _Question:
    name: str
    ask: Ask
    answer: list[Fault] | None = None
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"probe-{self.name}", daemon=True)
        self.thread.start()

    def faults(self, timeout_s: float) -> list[Fault]:
        """The faults in the answer, or one fault if there is no answer within `timeout_s` seconds."""
        if self.thread:
            self.thread.join(timeout_s)
        if self.answer is not None:
            return self.answer
        detail = f"The {self.name} did not answer within {timeout_s:g} s."
        return [Fault(self.name, detail, "Check whether it is overloaded, paused, or cut off from the network.")]

    def _run(self) -> None:
        try:
            self.answer = self.ask()
        except Exception as error:  # otherwise the question would seem to have no answer yet
            self.answer = [Fault(self.name, f"The {self.name} fails: {type(error).__name__}.", "See the log.")]


@dataclass
class Readiness:
    """Tests the database, the broker, the store and the workers of the service, all at the same time.

    timeout_s: Longest time to wait for an answer, in seconds.
    """

    services: Services
    timeout_s: float = TIMEOUT_S
    _probes: list[Probe] = field(init=False)

    def __post_init__(self) -> None:
        """Make the probes, which live as long as this object."""
        self._probes = [
            Probe("database", lambda: list(database_faults(self.services))),
            Probe("broker", lambda: [] if self.services.queue.answers() else [BROKER_AWAY]),
            Probe("storage", lambda: list(storage_faults(self.services))),
        ]

    def warnings(self) -> tuple[Note, ...]:
        """What does not keep the service from working, but must be mended: damaged files, workers without their GPU."""
        with self.services.database.read() as session:
            rows = scrubbing.damaged(session, MOST_FAULTS)
            in_trouble = session.scalars(select(Worker).where(_living(), Worker.trouble.is_not(None))).all()
        owners = dict.fromkeys((row.owner, row.fault) for row in rows)
        files = (
            Note(code=f"{fault}_file", detail=f"A stored file of {owner} is {fault}.", hint=RESTORE)
            for owner, fault in owners
        )
        workers = (
            Note(code="worker_in_trouble", detail=f"Worker {row.id} claims no jobs: {row.trouble}.", hint=RESTART)
            for row in in_trouble
        )
        return (*files, *workers)

    def damaged(self) -> int:
        """The number of stored files that were found damaged or missing."""
        with self.services.database.read() as session:
            return session.scalar(select(func.count()).select_from(DamagedFile)) or 0

    def faults(self) -> list[Fault]:
        """All faults; empty if the service is ready."""
        questions = [probe.begin() for probe in self._probes]
        return [fault for question in questions for fault in question.faults(self.timeout_s)]


def database_faults(services: Services) -> Iterator[Fault]:
    """The faults of the database, of its schema, and of queues without a living worker."""
    try:
        if fault := schema_fault(services.database):
            yield fault
            return
        queues = living_queues(services)
    except SQLAlchemyError:
        yield DATABASE_AWAY
        return
    for queue in sorted(set(QUEUES) - queues):
        yield Fault(
            "no_worker", f"No worker serves the queue {queue!r}.", f"Start one: canemap worker --queues {queue}"
        )


def living_queues(services: Services, host: str = "") -> set[str]:
    """The queues of all workers that have reported lately and claim jobs.

    host: only of workers on this machine, if it is not "".
    """
    living = select(Worker).where(_living(), Worker.trouble.is_(None))
    if host:
        living = living.where(Worker.id.startswith(f"{host}:", autoescape=True))
    with services.database.read() as session:
        return {queue for worker in session.scalars(living) for queue in worker.queues}


def _living() -> ColumnElement[bool]:
    return Worker.seen > now() - WORKER_TIMEOUT


def living_workers(services: Services) -> int:
    """The number of workers that have reported lately."""
    living = select(func.count()).select_from(Worker).where(_living())
    with services.database.read() as session:
        return session.scalar(living) or 0


def storage_faults(services: Services) -> Iterator[Fault]:
    """The fault of a store that cannot be written, if any."""
    if fault := services.store.fault():
        yield Fault("storage", fault, STORE_HINT)
