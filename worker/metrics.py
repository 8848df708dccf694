"""The metrics of a worker for Prometheus, served at an address of its own because the API does not have them."""

import structlog
from prometheus_client import Counter, Histogram, start_http_server

SECONDS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
ATTEMPTS = Histogram(
    "canemap_attempt_seconds",
    "How long this worker had a job, by the job's status thereafter: accepted if it was given back or its process died",
    ["kind", "status"],
    buckets=SECONDS,
)
PIXELS = Counter("canemap_predicted_pixels", "Pixels of scenes that this worker has mapped")
log = structlog.get_logger()


def serve(address: str) -> None:
    """Serve the metrics at "host:port" in a thread. If the port is in use, log an error and work without metrics."""
    host, _, port = address.rpartition(":")
    try:
        start_http_server(int(port), host)
    except OSError as error:
        log.error(f"no metrics: give each worker of a machine its own CANEMAP_WORKER_METRICS, not {address}: {error}")
