"""A service of one's own for the length of a block: what `canemap up` and `canemap demo` stand on."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.client import Client
from app.db import migrate
from app.settings import Settings
from app.supervise import Child, Supervisor

WORKERS = ("training", "prediction,light")  # so that a prediction never waits behind a night of training
READY_S = 120.0


class NotReady(RuntimeError):
    """The service did not come up."""


@contextmanager
def running(host: str, port: int, data: Path | None, stop: threading.Event) -> Iterator[str]:
    """Migrate, start API and workers, and give the URL once all is ready. `stop` is set by SIGINT and SIGTERM."""
    environment = {**os.environ, **({"CANEMAP_DATA_DIR": str(data)} if data else {})}
    settings = Settings(data_dir=data) if data else Settings()
    port = port or free_port(host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    migrate(settings)
    before = [signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with Supervisor(_children(host, port), environment), Client(url) as client:
            _wait_until_ready(client, stop)
            yield url
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    family = socket.getaddrinfo(host, 0)[0][0]
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _children(host: str, port: int) -> list[Child]:
    api = [sys.executable, "-m", "app.cli", "serve", "--host", host, "--port", str(port), "--with-parent"]
    workers = [
        Child(f"worker {queues}", [sys.executable, "-m", "worker", "--queues", queues, "--with-parent"])
        for queues in WORKERS
    ]
    return [Child("api", api), *workers]


def _wait_until_ready(client: Client, stop: threading.Event) -> None:
    deadline = time.monotonic() + READY_S
    while not client.ready():
        if stop.wait(0.2):
            raise KeyboardInterrupt
        if time.monotonic() > deadline:
            raise NotReady(f"The service did not become ready in {READY_S:.0f} s; its log above says why.")
