"""Routes for whoever operates the service: /healthz, /readyz and /metrics."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.api.documents import whole as documents
from app.api.http.access import Sender
from app.api.http.answers import TEXT, content
from app.api.http.problems import ProblemResponse
from app.core.errors import document
from app.operations.job_counts import JobCounter

router = APIRouter(tags=["health"])


@dataclass(frozen=True)
class JobCounts(Collector):
    """Prometheus collector for the number of jobs of each kind and status."""

    counter: JobCounter
    damaged: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        """One gauge, `canemap_jobs`, with the labels kind and status."""
        counts = GaugeMetricFamily("canemap_jobs", "Jobs by kind and status", labels=["kind", "status"])
        for (kind, status), number in self.counter.counts().items():
            counts.add_metric([kind, status], number)
        yield counts
        yield GaugeMetricFamily(
            "canemap_damaged_files", "Stored files that were found damaged or missing", self.damaged()
        )


@router.get("/healthz")
async def healthz() -> documents.Alive:
    """Say that the process answers. Nothing else is checked."""
    return documents.Alive()


@router.get("/readyz", response_model=documents.Ready)
def readyz(request: Request, sender: Sender) -> documents.Ready | Response:
    """Say that everything a job needs is available; otherwise 503 with a problem that names what fails.

    Warnings, which name things of tenants, are only for whoever runs the service.
    """
    readiness = request.app.state.readiness
    faults = readiness.faults()
    if faults:
        detail = " ".join(fault.detail for fault in faults)
        return ProblemResponse(document(503, "not-ready", "Not ready", detail, faults).model_dump(), 503)
    return documents.Ready(warnings=readiness.warnings() if sender and sender.runs_the_service else ())


@router.get("/metrics", response_class=Response, responses=content({"text/plain": TEXT}))
def metrics(request: Request) -> Response:
    """The metrics of this process and the number of jobs, in the text format of Prometheus."""
    jobs_by_status = CollectorRegistry()
    jobs_by_status.register(JobCounts(request.app.state.tally, request.app.state.readiness.damaged))
    return Response(generate_latest(REGISTRY) + generate_latest(jobs_by_status), media_type=CONTENT_TYPE_LATEST)
