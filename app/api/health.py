"""/healthz, /readyz and /metrics"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, RedirectResponse

from app import jobs
from app.api.deps import Wired
from app.api.problems import ProblemResponse
from app.models import Worker, now
from app.problem import document
from app.services import Services
from app.tally import Tally
from ml.faults import Fault

router = APIRouter(tags=["health"])
HEARD_OF = timedelta(seconds=30)


@dataclass(frozen=True)
class JobCounts(Collector):
    """How many jobs there are of each kind and status."""

    tally: Tally

    def collect(self) -> Iterator[Metric]:
        """One gauge."""
        counts = GaugeMetricFamily("canemap_jobs", "Jobs by kind and status", labels=["kind", "status"])
        for (kind, status), number in self.tally.counts().items():
            counts.add_metric([kind, status], number)
        yield counts


@router.get("/", include_in_schema=False)
def root() -> RedirectResponse:
    """The API's own pages."""
    return RedirectResponse("/docs")


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz", response_model=None)
def readyz(services: Wired) -> Response:
    """Everything that a job needs is there; else 503, naming what fails."""
    faults = tuple(_failing(services))
    if faults:
        detail = "; ".join(fault.detail for fault in faults)
        return ProblemResponse(document(503, "not-ready", "Not ready", detail, faults), 503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """For Prometheus."""
    jobs_by_status = CollectorRegistry()
    jobs_by_status.register(JobCounts(request.app.state.tally))
    return Response(generate_latest(REGISTRY) + generate_latest(jobs_by_status), media_type=CONTENT_TYPE_LATEST)


def _failing(services: Services) -> Iterator[Fault]:
    try:
        with services.database.read() as session:
            session.execute(text("SELECT 1"))
            heard = select(Worker).where(Worker.seen > now() - HEARD_OF)
            queues = {queue for worker in session.scalars(heard) for queue in worker.queues}
    except SQLAlchemyError:
        yield Fault(
            "database",
            "The database cannot be reached.",
            "Start it, or mend CANEMAP_DATABASE_URL; then `canemap migrate`.",
        )
        return
    for queue in sorted(set(jobs.QUEUES.values()) - queues):
        yield Fault(
            "no_worker", f"No worker listens to the queue {queue!r}.", f"Start one: canemap worker --queues {queue}"
        )
    if not services.doorbell.answers():
        yield Fault(
            "broker",
            "The broker cannot be reached.",
            "Start it, or mend CANEMAP_BROKER_URL. Jobs are accepted meanwhile.",
        )
    if fault := services.store.fault():
        hint = "See CANEMAP_STORE_URL, its credentials, and the owner and the free space of CANEMAP_DATA_DIR."
        yield Fault("storage", fault, hint)
