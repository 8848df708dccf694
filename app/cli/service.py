"""Commands that run the service. They import its modules late, so that the other commands start quickly."""

import ipaddress
import os
import socket
import sys
import threading
from contextlib import AbstractContextManager, ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import output
from app.cli.failures import REFUSED, Refused
from app.cli.folders import check_folder
from app.cli.output import AsJson
from app.cli.texts import text

if TYPE_CHECKING:
    from app.settings import Settings

WORKER_PACKAGES = ("torch", "safetensors", "scipy")  # of the extra "worker", which the extra "api" lacks
Host = Annotated[str, typer.Option(help="Address to listen on. Where other machines reach it, requests need a key.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Write the log to standard error instead of a file.")]
Socket = Annotated[int | None, typer.Option("--socket", hidden=True, help="Number of an open file: its socket.")]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]


def up(host: Host = "127.0.0.1", port: Port = 8000, verbose: Verbose = False, as_json: AsJson = False) -> None:
    """Run the whole service, that is the API and the workers, without any other server. Ctrl-C ends it."""
    from app.cli.running import InUse, NotReady, running
    from app.settings import Settings

    _check_host(host, Settings())
    _check_worker("no_worker")
    folder = Settings().data_dir.resolve()
    log = None if verbose else folder / "canemap.log"
    try:
        _run_until_interrupted(running(host, port, log=log), folder, log, as_json)
    except InUse as error:
        raise typer.BadParameter(str(error), param_hint=error.option) from error
    except NotReady as error:
        raise Refused("not-ready", str(error)) from error


def _run_until_interrupted(service: AbstractContextManager[str], folder: Path, log: Path | None, as_json: bool) -> None:
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        with output.waiting(text("starting")):
            url = stack.enter_context(service)
        place = text("log_in", log=log) if log else text("log_here")
        ready = text("ready", url=url, folder=folder, log=place)
        output.show({"url": url, "data": str(folder), "log": log and str(log)}, as_json, [ready])
        sys.stdout.flush()
        threading.Event().wait()


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    socket_: Socket = None,
    with_parent: WithParent = False,
) -> None:
    """Run only the API."""
    import uvicorn

    from app.api.http.connections import BoundedProtocol
    from app.cli.running import InUse, listening
    from app.core.startup import private_files
    from app.main import create_app
    from app.operations.supervise import die_with_parent
    from app.settings import Settings

    settings = Settings()
    asks_for_keys = _check_host(host, settings)
    if with_parent:
        die_with_parent()
    private_files()
    try:
        listener = listening(host, port) if socket_ is None else socket.socket(fileno=socket_)
    except InUse as error:
        raise typer.BadParameter(str(error), param_hint=error.option) from error
    changed = {"allowed_hosts": f"{settings.allowed_hosts},{host}", "auth": "keys" if asks_for_keys else settings.auth}
    config = uvicorn.Config(
        create_app(settings.model_copy(update=changed)),
        log_config=None,
        http=BoundedProtocol,
        ws="none",
        access_log=False,  # app.api.http.request_log writes a better log
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt), listener:
        server.run(sockets=[listener])
    if not server.started:
        raise typer.Exit(REFUSED)


def worker(
    queues: Annotated[str, typer.Option(help="Its queues, comma-separated.")] = "light,prediction,training",
) -> None:
    """Run one worker, which does one job at a time."""
    from app.core.startup import PYTHON
    from app.jobs.kinds import QUEUES
    from app.settings import Settings

    if unknown := set(queues.split(",")) - set(QUEUES):
        detail = text("no_queue", unknown=", ".join(sorted(unknown)), known=", ".join(QUEUES))
        raise typer.BadParameter(detail, param_hint="--queues")
    _check_worker("no_workers_here")
    check_schema(Settings())
    # executed and not imported: app must not depend on the worker, and through it on torch
    os.execv(sys.executable, [*PYTHON, "-m", "worker", "--queues", queues])


def beat() -> None:
    """Only do the periodic work of every process: look for dead workers, unnoticed jobs and due schedules."""
    import signal

    from app.core.startup import configure_logs, private_files
    from app.operations.background import start_rounds, start_upkeep
    from app.services import Services
    from app.settings import Settings

    settings, stop = Settings(), threading.Event()
    configure_logs(settings)
    private_files()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    check_schema(settings)
    services = Services.open(settings)
    for thread in [*start_rounds(services, stop), *start_upkeep(services, stop)]:
        thread.join()
    services.close()


def migrate(revision: str = "head", as_json: AsJson = False) -> None:
    """Migrate the schema of the database to a revision, by default the newest."""
    from app.core.db import CannotMigrate, upgrade
    from app.core.startup import private_files
    from app.settings import Settings

    private_files()
    try:
        revision = upgrade(Settings(), revision)
    except CannotMigrate as error:
        raise typer.BadParameter(str(error), param_hint="--revision") from error
    output.show({"revision": revision}, as_json, [f"The schema is at {revision}."])


def _check_worker(sentence: str) -> None:
    """Refuse to start when packages that a worker needs are missing: each of its jobs would fail."""
    if missing := [name for name in WORKER_PACKAGES if find_spec(name) is None]:
        names = ", ".join(missing)
        raise Refused("missing-package", text(sentence, packages=names, verb="is" if len(missing) == 1 else "are"))


def check_schema(settings: "Settings") -> None:
    """Refuse to start on a database that was never migrated, or that is too old."""
    from app.core.db import Database
    from app.operations.schema import schema_fault

    check_folder(settings)
    database = Database(settings.database)
    try:
        fault = schema_fault(database)
    finally:
        database.close()
    if fault:
        raise Refused("schema", text("no_schema", detail=fault.detail))


def _check_host(host: str, settings: "Settings") -> bool:
    """Whether every request must show a key: always where other machines reach the host.

    Raises `BadParameter` for a host that does not exist, or if the settings would let everybody in.
    """
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError) as error:
        raise typer.BadParameter(text("no_host", host=host), param_hint="--host") from error
    if all(ipaddress.ip_address(address).is_loopback for address in addresses):
        return settings.auth == "keys"
    if settings.auth == "none":
        raise typer.BadParameter(text("not_loopback", host=host), param_hint="--host")
    return True


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (up, serve, worker, beat, migrate):
        app.command()(command)
