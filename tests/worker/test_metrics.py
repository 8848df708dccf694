"""The metrics of a worker, as Prometheus reads them."""

import socket
import threading

import httpx
from structlog.testing import capture_logs

from app.jobs import lifecycle
from app.services import Services
from tests.servers import free_port
from tests.worker import children
from worker import metrics
from worker.supervisor import perform


def test_attempts_and_pixels_are_counted(services: Services) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "prd_1", "prediction")
    metrics.serve(address := f"127.0.0.1:{free_port()}")
    before = read(address)
    perform(services, "prediction", threading.Event(), children.maps)
    after = read(address)
    grown = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert grown['canemap_attempt_seconds_count{kind="prediction",status="accepted"}'] == 1
    assert grown["canemap_predicted_pixels_total"] == 3000


def test_an_address_in_use_is_logged_and_does_not_end_the_worker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, capture_logs() as logged:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        metrics.serve(address)
    assert f"CANEMAP_WORKER_METRICS, not {address}" in logged[0]["event"]


def read(address: str) -> dict[str, float]:
    lines = httpx.get(f"http://{address}/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
