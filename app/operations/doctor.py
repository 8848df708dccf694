"""Checks a deployment from this machine: what is wrong, and how to fix it."""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.core.columns import now
from app.core.db import OF_A_WORKER, OF_AN_API, schema_of, schemas
from app.core.startup import PYTHON
from app.inspection import landlock
from app.operations import readiness
from app.operations.readiness import Probe
from app.operations.schema import schema_fault
from app.services import Services
from ml.faults import Fault
from ml.geo.gdal import DRIVERS
from ml.native import library

GIB = 1024**3
LITTLE_SPACE, NO_SPACE = 10 * GIB, GIB  # less free space than this is a warning, or a fault
# more skew than this is a warning, or a fault: /readyz compares the clocks of two machines with 30 s
SKEW_S, LARGE_SKEW_S = 2.0, 15.0
TIMEOUT_S = 60.0
TORCH = """
import torch
cuda = torch.cuda.is_available()
name = torch.cuda.get_device_name() if cuda else "no GPU"
print(f"torch {torch.__version__}, {name}", int(cuda), sep="|")
"""
NO_TORCH = "torch is not installed: this machine only serves the API, and workers run on other machines"
Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    part: name of the check, a key of `CHECKS`. detail: what was found. hint: how to fix it; "" if nothing is wrong.
    """

    part: str
    level: Level
    detail: str
    hint: str = ""


def examine(services: Services | None, only: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Run all checks of `DEFAULT`, or those of `CHECKS` that `only` names, each for `TIMEOUT_S` at most.

    services: None if there are none yet: only the checks of `OF_THE_MACHINE` are run then.
    """
    for part in only or DEFAULT:
        if part in OF_THE_MACHINE:
            check: Callable[[], Iterator[Finding]] = OF_THE_MACHINE[part]
        elif services is not None:
            check = partial(OF_THE_SERVICE[part], services)
        else:
            continue
        probe = Probe(part, partial(_faults, check))
        found = probe.begin().faults(TIMEOUT_S)
        yield from (_as_finding(part, fault) for fault in found)


def _faults(check: Callable[[], Iterator[Finding]]) -> list[Fault]:
    """The findings of a check as faults, which is what a probe returns. The code of each is the level."""
    return [Fault(item.level, item.detail, item.hint) for item in check()]


def _as_finding(part: str, fault: Fault) -> Finding:
    level: Level = "ok" if fault.code == "ok" else "warning" if fault.code == "warning" else "fault"
    return Finding(part, level, fault.detail, fault.hint)


def _database(services: Services) -> Iterator[Finding]:
    try:
        with services.database.engine.connect() as connection:
            name, found = connection.dialect.name, schema_of(connection)
        fault = schema_fault(services.database)
    except SQLAlchemyError as error:
        yield Finding("database", "fault", f"{_first_line(error)}", readiness.DATABASE_AWAY.hint)
        return
    if fault:
        yield Finding("database", "fault", fault.detail, fault.hint)
    elif found not in schemas():
        yield Finding("database", "warning", f"The schema {found} is newer than this canemap.", "Update canemap here.")
    else:
        yield Finding("database", "ok", f"{name}, schema {found}")
        yield from _tenants(services)
        yield from _connections(services)


def _tenants(services: Services) -> Iterator[Finding]:
    """Whether PostgreSQL itself keeps the rows of the tenants apart."""
    if services.database.hides_rows() is False:
        detail = "The user of the database sees the rows of all tenants, and so does every statement that names none."
        yield Finding("database", "warning", detail, "Run `canemap migrate` as this user, which makes a role for it.")


def _connections(services: Services) -> Iterator[Finding]:
    """Whether PostgreSQL has as many connections as the workers and one API keep, and may open for a time."""
    if services.database.engine.dialect.name != "postgresql":
        return
    with services.database.engine.connect() as connection:
        allowed = int(connection.execute(text("SHOW max_connections")).scalar_one())
    workers = readiness.living_workers(services)
    needed = workers * 2 * (OF_A_WORKER.kept + OF_A_WORKER.more) + OF_AN_API.kept + OF_AN_API.more
    if needed > allowed:
        detail = f"PostgreSQL allows {allowed} connections; {workers} workers and an API can need {needed}."
        hint = "Raise max_connections; docs/operations.md counts what each process needs."
        yield Finding("database", "warning", detail, hint)


def _clock(services: Services) -> Iterator[Finding]:
    if services.database.engine.dialect.name != "postgresql":
        yield Finding("clock", "ok", "the database uses the clock of this machine")
        return
    with services.database.engine.connect() as connection:
        before = now()
        database_time: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        skew_s = (database_time.astimezone(UTC) - before - (now() - before) / 2).total_seconds()
    level: Level = "ok" if abs(skew_s) < SKEW_S else "warning" if abs(skew_s) < LARGE_SKEW_S else "fault"
    detail = f"the clock of the database is {abs(skew_s):.1f} s {'ahead' if skew_s > 0 else 'behind'}"
    yield Finding("clock", level, detail, "" if level == "ok" else "Synchronise the clocks of both machines by NTP.")


def _broker(services: Services) -> Iterator[Finding]:
    if services.queue.answers():
        yield Finding("broker", "ok", "answers")
    else:
        yield Finding("broker", "fault", readiness.BROKER_AWAY.detail, readiness.BROKER_AWAY.hint)


def _storage(services: Services) -> Iterator[Finding]:
    if fault := services.store.fault():
        yield Finding("storage", "fault", f"{services.store.url}: {fault}", readiness.STORE_HINT)
    else:
        yield Finding("storage", "ok", f"{services.store.url} can be written")


def _disk(services: Services) -> Iterator[Finding]:
    folder = services.settings.data_dir.resolve()
    if not os.access(folder, os.W_OK):
        yield Finding("disk", "fault", f"{folder} cannot be written.", "Correct its owner, or set CANEMAP_DATA_DIR.")
        return
    free = shutil.disk_usage(folder).free
    level: Level = "fault" if free < NO_SPACE else "warning" if free < LITTLE_SPACE else "ok"
    hint = "" if level == "ok" else "Free some space, or set CANEMAP_DATA_DIR; its folder `cache` may be emptied."
    yield Finding("disk", level, f"{free / GIB:.1f} GiB free in {folder}", hint)


def _workers(services: Services) -> Iterator[Finding]:
    faults = list(readiness.database_faults(services))
    yield from (Finding("workers", "fault", fault.detail, fault.hint) for fault in faults)
    if not faults:
        yield Finding("workers", "ok", "every queue has a worker")


def _this_worker(services: Services) -> Iterator[Finding]:
    host = socket.gethostname()
    if queues := readiness.living_queues(services, host):
        yield Finding("this-worker", "ok", f"works on {', '.join(sorted(queues))}")
    else:
        yield Finding("this-worker", "fault", f"No worker on {host} has reported lately.", "Restart it.")


def _versions() -> Iterator[Finding]:
    found = (f"{name} {number}" for name in ("canemap", "torch", "rasterio") if (number := _version(name)))
    yield Finding("versions", "ok", ", ".join([*found, f"Python {platform.python_version()}"]))


def _version(distribution: str) -> str:
    """The version of an installed distribution; "" if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("machine", "ok", f"{platform.machine()}, {cores} cores, {memory / GIB:.1f} GiB of memory")


def _gpu() -> Iterator[Finding]:
    if find_spec("torch") is None:
        yield Finding("gpu", "ok", NO_TORCH)
        return
    # in another process: this one must not import torch, and a broken driver may kill a process that uses it
    asked = subprocess.run([*PYTHON, "-c", TORCH], capture_output=True, text=True, check=False)
    detail, _bar, cuda = asked.stdout.strip().partition("|")
    if asked.returncode:
        yield Finding("gpu", "fault", f"torch cannot be imported: {_last_line(asked.stderr)}", "Install it again.")
    elif cuda == "1":
        yield Finding("gpu", "ok", detail)
    elif shutil.which("nvidia-smi"):
        hint = "Install a torch with CUDA, or a newer driver; give a container access to the GPU."
        yield Finding("gpu", "fault", f"{detail} for torch, although nvidia-smi is installed", hint)
    else:
        yield Finding("gpu", "warning", detail, "Predictions work well without a GPU; trainings are many times slower.")


def _convolutions() -> Iterator[Finding]:
    if find_spec("torch") is None:
        yield Finding("convolutions", "ok", NO_TORCH)
        return
    detail, hint = library.describe()
    yield Finding("convolutions", "warning" if hint else "ok", detail, hint)


def _gdal() -> Iterator[Finding]:
    import rasterio
    from rasterio.env import Env

    with Env() as environment:
        drivers = set(environment.drivers())
    if missing := {"GTiff", "COG", "MEM"} - drivers:
        detail = f"GDAL {rasterio.__gdal_version__} lacks {', '.join(sorted(missing))}."
        yield Finding("gdal", "fault", detail, "Install rasterio from PyPI.")
    elif unlocked := drivers - DRIVERS:
        detail = f"GDAL {rasterio.__gdal_version__} can open {', '.join(sorted(unlocked))}, which is not safe."
        yield Finding("gdal", "fault", detail, "Do not import rasterio before canemap does.")
    else:
        yield Finding("gdal", "ok", f"GDAL {rasterio.__gdal_version__} opens GeoTIFFs and nothing else")


def _landlock() -> Iterator[Finding]:
    found = landlock.version()
    newer = "Use Linux 5.19 or newer, with landlock in its list of lsm."
    if found >= landlock.RENAMES_SINCE:
        detail = "a process that reads an upload can open no other file, and jobs only what they need"
        yield Finding("landlock", "ok", f"Landlock {found}: {detail}")
    elif found:
        detail = "a process that reads an upload can open no other file, but jobs can"
        yield Finding("landlock", "warning", f"Landlock {found}: {detail}.", newer)
    else:
        detail = "The kernel has no Landlock: processes that read uploads have limits, but can open other files."
        yield Finding("landlock", "warning", detail, newer)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _last_line(text_: str) -> str:
    return (text_.strip().splitlines() or ["no error message"])[-1]


OF_THE_SERVICE: dict[str, Callable[[Services], Iterator[Finding]]] = {
    "database": _database,
    "clock": _clock,
    "broker": _broker,
    "storage": _storage,
    "disk": _disk,
    "workers": _workers,
    "this-worker": _this_worker,
}
OF_THE_MACHINE: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": _versions,
    "machine": _machine,
    "gpu": _gpu,
    "convolutions": _convolutions,
    "gdal": _gdal,
    "landlock": _landlock,
}
CHECKS = (*OF_THE_SERVICE, *OF_THE_MACHINE)
DEFAULT = tuple(part for part in CHECKS if part != "this-worker")  # that one is for health checks of containers
