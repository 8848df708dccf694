"""Commands that run the service. They import its modules late, so that the other commands start quickly."""

import ipaddress
import os
import socket
import sys
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Annotated

import typer

from app.cli import output
from app.cli.output import AsJson

Host = Annotated[str, typer.Option(help="Address to listen on; only loopback, because there are no access keys yet.")]
Unprotected = Annotated[
    bool,
    typer.Option(help="Allow any --host, as something else keeps strangers out, like the network of a container."),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
Data = Annotated[Path | None, typer.Option(help="Folder for all data of the service; sets CANEMAP_DATA_DIR.")]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]


def up(host: Host = "127.0.0.1", port: Port = 8000, data: Data = None, as_json: AsJson = False) -> None:
    """Run the whole service, that is the API and the workers, without any other server. Ctrl-C ends it."""
    from app.cli.running import InUse, running

    _check_loopback(host)
    try:
        _run_until_interrupted(running(host, port, data), as_json)
    except InUse as error:
        raise typer.BadParameter(str(error), param_hint=error.option) from error


def _run_until_interrupted(service: AbstractContextManager[str], as_json: bool) -> None:
    with suppress(KeyboardInterrupt), service as url:
        output.show({"url": url}, as_json, [f"canemap is ready: {url} (API pages: {url}/docs; Ctrl-C ends it)"])
        sys.stdout.flush()
        threading.Event().wait()


def serve(
    host: Host = "127.0.0.1", port: Port = 8000, unprotected: Unprotected = False, with_parent: WithParent = False
) -> None:
    """Run only the API."""
    import uvicorn

    from app.api.http.connections import BoundedProtocol
    from app.core.startup import private_files
    from app.main import create_app
    from app.operations.supervise import die_with_parent
    from app.settings import Settings

    if not unprotected:
        _check_loopback(host)
    if with_parent:
        die_with_parent()
    private_files()
    settings = Settings()
    uvicorn.run(
        create_app(settings.model_copy(update={"allowed_hosts": f"{settings.allowed_hosts},{host}"})),
        host=host,
        port=port,
        log_config=None,
        http=BoundedProtocol,
        ws="none",
        access_log=False,  # app.api.http.request_log writes a better log
        timeout_graceful_shutdown=5,
    )


def worker(
    queues: Annotated[str, typer.Option(help="Its queues, comma-separated.")] = "light,prediction,training",
) -> None:
    """Run one worker, which does one job at a time."""
    from app.core.startup import PYTHON

    # executed and not imported: app must not depend on the worker, and through it on torch
    os.execv(sys.executable, [*PYTHON, "-m", "worker", "--queues", queues])


def beat() -> None:
    """Only do the periodic work of every process: look for dead workers, unnoticed jobs and due schedules."""
    import signal

    from app.core.startup import configure_logs, private_files
    from app.operations.background import start_rounds
    from app.services import Services
    from app.settings import Settings

    settings, stop = Settings(), threading.Event()
    configure_logs(settings)
    private_files()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services = Services.open(settings)
    for thread in start_rounds(services, stop):
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


def _check_loopback(host: str) -> None:
    addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    if not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        raise typer.BadParameter(
            f"{host} can be reached from other machines, and there are no access keys yet: anybody could use the "
            "service. Bind to 127.0.0.1 and put a proxy that asks for a password in front.",
            param_hint="--host",
        )


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (up, serve, worker, beat, migrate):
        app.command()(command)
