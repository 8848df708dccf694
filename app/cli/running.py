"""A whole service that runs for the length of a block, as `canemap up` and `canemap demo` need it."""

import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from app.cli.texts import text
from app.client import Client
from app.core.db import migrate
from app.core.periodic import start_every
from app.core.startup import PYTHON, configure_logs, private_files
from app.jobs.kinds import QUEUES
from app.operations.log_file import keep_small, last_lines
from app.operations.supervise import Child, Supervisor
from app.settings import Settings

# the queues of two workers, so that a prediction never waits for a long training to end
WORKERS = ("training", ",".join(queue for queue in QUEUES if queue != "training"))
READY_S = 120.0
ANSWER_S = 10.0
MOST_CRASHES = 3  # of one child, before the service is ready: it will not become ready then
LOG_CHECK_S = 30.0
LAST_LINES = 12


class InUse(RuntimeError):
    """Another program has what the service needs. option: The option that chooses another one."""

    def __init__(self, detail: str, option: str) -> None:
        super().__init__(detail)
        self.option = option


class NotReady(RuntimeError):
    """The service did not become ready."""


@contextmanager
def running(host: str, port: int, data: Path | None = None, log: Path | None = None) -> Iterator[str]:
    """Migrate the database, start the API and the workers, and yield the URL when everything is ready.

    SIGTERM interrupts the block as Ctrl-C does. Raises `InUse` and `NotReady`.

    log: file for the output of all processes, this one included; by default they write to standard error.
    """
    environment = dict(os.environ)
    if data:
        environment["CANEMAP_DATA_DIR"] = str(data)
    settings = Settings(data_dir=data) if data else Settings()
    private_files()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # the port first: a mistake in it makes no data folder
        with listening(host, port) as listener, _alone(settings), _logging(settings, log) as output:
            url = _url(host, listener.getsockname()[1])
            children = _children(host, listener, settings)
            with Supervisor(children, environment, output), Client(url, timeout_s=ANSWER_S) as client:
                _wait_until_ready(client, children, log)
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
            raise InUse(text("folder_in_use", folder=folder), "--data") from error
        migrate(settings)
        yield


def listening(host: str, port: int = 0) -> socket.socket:
    """A socket that listens on `port` of `host`, or on any free port for 0. Raises `InUse` if another program does.

    The API gets this very socket, so no other program can take the port before it, or while it is started again.
    """
    families = [info[0] for info in socket.getaddrinfo(host, port)]
    listener = socket.socket(socket.AF_INET if socket.AF_INET in families else families[0])
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended do not count
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InUse(text("port_in_use", port=port, host=host, reason=error.strerror), "--port") from error
    return listener


def free_port(host: str, port: int = 0) -> int:
    """`port` of `host`, or any free port for 0. Raises `InUse` if another program listens there."""
    with listening(host, port) as probe:
        found: int = probe.getsockname()[1]
        return found


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _logging(settings: Settings, log: Path | None) -> Iterator[IO[bytes] | None]:
    """Write the log of this process to `log`, and keep that small; yields it for the output of child processes."""
    if log is None:
        configure_logs(settings)
        yield None
        return
    stop = threading.Event()
    with log.open("ab") as output, log.open("a") as own:
        configure_logs(settings, own)
        keeper = start_every(LOG_CHECK_S, partial(keep_small, log), stop, name="log file")
        try:
            yield output
        finally:
            stop.set()
            keeper.join()
            configure_logs(settings)


def _children(host: str, listener: socket.socket, settings: Settings) -> list[Child]:
    descriptor = listener.fileno()
    api = [*PYTHON, "-m", "app.cli", "serve", "--host", host, "--socket", str(descriptor), "--with-parent"]
    return [Child("api", api, pass_fds=(descriptor,)), *(_worker(queues, settings) for queues in WORKERS)]


def _worker(queues: str, settings: Settings) -> Child:
    """The child that works on some queues. Its metrics have a port of their own: the next one for each worker."""
    command = [*PYTHON, "-m", "worker", "--queues", queues, "--with-parent"]
    host, _, port = settings.worker_metrics.rpartition(":")
    address = {"CANEMAP_WORKER_METRICS": f"{host}:{int(port) + WORKERS.index(queues)}"} if port else {}
    return Child(f"worker {queues}", command, variables=address)


def _wait_until_ready(client: Client, children: Sequence[Child], log: Path | None) -> None:
    deadline = time.monotonic() + READY_S
    while not client.ready():
        time.sleep(0.2)
        if broken := next((child for child in children if child.crashes >= MOST_CRASHES), None):
            raise NotReady(_with_log(text("child_ends", child=broken.name), log))
        if time.monotonic() > deadline:
            raise NotReady(_with_log(text("not_ready", seconds=READY_S), log))


def _with_log(message: str, log: Path | None) -> str:
    return "\n".join([message, text("see_log", log=log), *last_lines(log, LAST_LINES)]) if log else message
