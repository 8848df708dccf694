"""A whole service that runs for the length of a block, as `canemap up` and `canemap demo` need it."""

import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from app.client import Client
from app.core.db import migrate
from app.core.startup import PYTHON, private_files
from app.jobs.kinds import QUEUES
from app.operations.supervise import Child, Supervisor
from app.settings import Settings

# the queues of two workers, so that a prediction never waits for a long training to end
WORKERS = ("training", ",".join(queue for queue in QUEUES if queue != "training"))
READY_S = 120.0


class InUse(RuntimeError):
    """Another program has what the service needs. option: The option that chooses another one."""

    def __init__(self, detail: str, option: str) -> None:
        super().__init__(detail)
        self.option = option


class NotReady(RuntimeError):
    """The service did not become ready in time."""


@contextmanager
def running(host: str, port: int, data: Path | None, log: Path | None = None) -> Iterator[str]:
    """Migrate the database, start the API and the workers, and yield the URL when everything is ready.

    SIGTERM interrupts the block as Ctrl-C does. Raises `InUse`.

    log: file for the output of the child processes; by default they write to the output of this process.
    """
    environment = dict(os.environ)
    if data:
        environment["CANEMAP_DATA_DIR"] = str(data)
    settings = Settings(data_dir=data) if data else Settings()
    port = free_port(host, port)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    private_files()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            _alone(settings),
            log.open("ab") if log else nullcontext() as output,
            Supervisor(_children(host, port), environment, output),
            Client(url) as client,
        ):
            _wait_until_ready(client)
            yield url
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the lock of the data folder, which ends with this process, and migrate the database first.

    Raises `InUse` if another process holds the lock.
    """
    folder = settings.data_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            detail = f"Another canemap runs on the data folder {folder}: end it, or choose another folder."
            raise InUse(detail, "--data") from error
        migrate(settings)
        yield


def free_port(host: str, port: int = 0) -> int:
    """`port` of `host`, or any free port for 0. Raises `InUse` if another program listens there."""
    family = socket.getaddrinfo(host, port)[0][0]
    with socket.socket(family) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the API does: connections that ended do not count
        try:
            probe.bind((host, port))
        except OSError as error:
            detail = f"Port {port} of {host} cannot be used ({error.strerror}): choose another one, or 0 for any."
            raise InUse(detail, "--port") from error
        found: int = probe.getsockname()[1]
        return found


def _children(host: str, port: int) -> list[Child]:
    api = [*PYTHON, "-m", "app.cli", "serve", "--host", host, "--port", str(port), "--with-parent"]
    workers = [
        Child(f"worker {queues}", [*PYTHON, "-m", "worker", "--queues", queues, "--with-parent"]) for queues in WORKERS
    ]
    return [Child("api", api), *workers]


def _wait_until_ready(client: Client) -> None:
    deadline = time.monotonic() + READY_S
    while not client.ready():
        time.sleep(0.2)
        if time.monotonic() > deadline:
            raise NotReady(f"The service did not become ready in {READY_S:.0f} s; its log above says why.")
