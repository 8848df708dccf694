"""Whether every part that a job needs is there, found out in seconds, whatever hangs."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.core.columns import now
from app.core.db import Database, schema_of, schemas
from app.jobs.kinds import QUEUES
from app.services import Services
from app.tables import Worker
from ml.faults import Fault

PATIENCE_S = 4.0
HEARD_OF = timedelta(seconds=30)
Ask = Callable[[], list[Fault]]

DATABASE_AWAY = Fault(
    "database",
    "The database cannot be reached.",
    "Start it, or mend CANEMAP_DATABASE_URL; then `canemap migrate`.",
)
BROKER_AWAY = Fault(
    "broker", "The broker cannot be reached.", "Start it, or mend CANEMAP_BROKER_URL. Jobs are accepted meanwhile."
)
MIGRATE = "canemap migrate"
STORE_HINT = "See CANEMAP_STORE_URL, its credentials, and the owner and the free space of CANEMAP_DATA_DIR."


@dataclass
class Probe:
    """One question. A part that hangs holds one thread, however often it is asked for."""

    part: str
    ask: Ask
    _asked: "_Question | None" = None

    def begin(self) -> "_Question":
        """Ask, unless the question before has not been answered yet."""
        if self._asked is None or self._asked.thread is None or not self._asked.thread.is_alive():
            self._asked = _Question(self.part, self.ask)
            self._asked.start()
        return self._asked


@dataclass
class _Question:
    part: str
    ask: Ask
    answer: list[Fault] | None = None
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"probe-{self.part}", daemon=True)
        self.thread.start()

    def faults(self, patience_s: float) -> list[Fault]:
        if self.thread:
            self.thread.join(patience_s)
        if self.answer is not None:
            return self.answer
        detail = f"The {self.part} did not answer within {patience_s:g} s."
        return [Fault(self.part, detail, "See whether it is overloaded, paused, or cut off from the network.")]

    def _run(self) -> None:
        try:
            self.answer = self.ask()
        except Exception as error:  # whatever it is, it must not make the question look unanswered
            self.answer = [Fault(self.part, f"The {self.part} fails: {type(error).__name__}.", "See the log.")]


@dataclass
class Readiness:
    """The parts of a service, each asked at the same time as the others."""

    services: Services
    patience_s: float = PATIENCE_S
    _probes: list[Probe] = field(init=False)

    def __post_init__(self) -> None:
        """Make a probe for each part."""
        self._probes = [
            Probe("database", lambda: list(database_faults(self.services))),
            Probe("broker", lambda: [] if self.services.queue.answers() else [BROKER_AWAY]),
            Probe("storage", lambda: list(storage_faults(self.services))),
        ]

    def faults(self) -> list[Fault]:
        """What is missing; empty when all is well."""
        questions = [probe.begin() for probe in self._probes]
        return [fault for question in questions for fault in question.faults(self.patience_s)]


def database_faults(services: Services) -> Iterator[Fault]:
    """The database answers, has its schema, and knows a living worker for each queue."""
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
            "no_worker", f"No worker listens to the queue {queue!r}.", f"Start one: canemap worker --queues {queue}"
        )


def schema_fault(database: Database) -> Fault | None:
    """The schema is not there, or is an old one. Raises what SQLAlchemy does when there is no database to ask.

    A newer one is none: where an update is under way, the new canemap migrates before the last old process has ended.
    """
    with database.engine.connect() as connection:
        found = schema_of(connection)
    if found is None:
        return Fault("schema", "The database has no schema yet.", MIGRATE)
    if found in schemas()[1:]:
        return Fault("schema", f"The database's schema is {found}, older than {schemas()[0]}.", MIGRATE)
    return None


def living_queues(services: Services, host: str = "") -> set[str]:
    """The queues of all workers that were heard of lately; host: of those on one machine only."""
    heard = select(Worker).where(Worker.seen > now() - HEARD_OF)
    if host:
        heard = heard.where(Worker.id.startswith(f"{host}:", autoescape=True))
    with services.database.read() as session:
        return {queue for worker in session.scalars(heard) for queue in worker.queues}


def storage_faults(services: Services) -> Iterator[Fault]:
    """The store can be written."""
    if fault := services.store.fault():
        yield Fault("storage", fault, STORE_HINT)
