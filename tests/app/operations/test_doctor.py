"""`canemap doctor` and /readyz say within seconds what is wrong and how to mend it; on both databases."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from app.core.columns import now
from app.core.db import migrate
from app.operations import doctor
from app.operations.readiness import Probe, Readiness
from app.services import Services
from app.settings import Settings
from app.tables import Worker
from ml.faults import Fault
from ml.native import library
from tests import commands, servers


def levels(services: Services, *only: str) -> dict[str, str]:
    return {item.part: item.level for item in doctor.examine(services, only)}


def report_worker(services: Services, host: str, queues: list[str]) -> None:
    """Report a living worker on `host`."""
    with services.database.write() as session:
        session.merge(Worker(id=f"{host}:1", queues=queues, seen=now()))


def test_a_working_deployment_has_no_fault(services: Services) -> None:
    report_worker(services, "there", ["training", "prediction", "light"])
    found = doctor.examine(services, ("database", "clock", "broker", "storage", "workers"))
    assert [item for item in found if item.level != "ok"] == []
    assert levels(services, "gpu", "disk").keys() == {"gpu", "disk"}
    assert Readiness(services).faults() == []


def test_gdal_is_locked_in_a_new_process(tmp_path: Path) -> None:
    """In a process that has warped an image or made a COG, such as this one, GDAL has the VRT driver again."""
    command = [sys.executable, "-m", "app.cli", "doctor", "--only", "gdal"]
    environment = {**os.environ, "CANEMAP_DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "nothing else" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_doctor_names_the_library_for_convolutions_on_this_cpu(services: Services) -> None:
    (found,) = doctor.examine(services, ("convolutions",))
    ours = library.find()
    assert (found.level, found.hint == "") == (("ok", True) if ours else ("warning", False))
    assert ours is None or ours.origin in found.detail


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_predictions_are_slow_without_library_and_compiler(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "TARGETS", ())
    monkeypatch.setenv("CC", "no-such-compiler")
    library.find.cache_clear()
    try:
        (found,) = doctor.examine(services, ("convolutions",))
    finally:
        library.find.cache_clear()
    assert (found.level, "2.5 times as long" in found.detail) == ("warning", True)
    assert "C compiler" in found.hint


def test_the_doctor_looks_for_workers_on_all_machines_or_on_this_one(services: Services) -> None:
    report_worker(services, "there", ["training"])
    assert levels(services, "workers", "this-worker") == {"workers": "fault", "this-worker": "fault"}
    report_worker(services, socket.gethostname(), ["light"])
    assert levels(services, "this-worker") == {"this-worker": "ok"}


@pytest.mark.parametrize(("revision", "what"), [("base", "no schema yet"), ("-1", "older than")])
def test_a_missing_or_old_schema_is_a_fault_with_its_command(settings: Settings, revision: str, what: str) -> None:
    """It is not reported as a database that cannot be reached."""
    migrate(settings, revision)
    services = Services.open(settings)
    found = list(doctor.examine(services, ("database", "workers")))
    assert [(item.level, item.hint) for item in found] == [("fault", "canemap migrate")] * 2
    assert all(what in item.detail for item in found)
    (fault,) = Readiness(services).faults()
    assert (fault.code, fault.hint, what in fault.detail) == ("schema", "canemap migrate", True)
    services.close()


def test_more_workers_than_postgresql_has_connections_for_are_warned_of(services: Services) -> None:
    for number in range(20):
        report_worker(services, f"host-{number}", ["light"])
    warned = [item.detail for item in doctor.examine(services, ("database",)) if item.level == "warning"]
    on_postgresql = ["PostgreSQL allows 100 connections; 20 workers and an API can need 220."]
    assert warned == (on_postgresql if services.database.engine.dialect.name == "postgresql" else [])


def test_a_newer_schema_is_only_a_warning(services: Services) -> None:
    with services.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    report_worker(services, "there", ["training", "prediction", "light"])
    assert levels(services, "database", "workers") == {"database": "warning", "workers": "ok"}
    assert Readiness(services).faults() == []


def test_each_service_that_cannot_be_reached_is_named(services: Services, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{servers.free_port()}"
    away = services.settings.model_copy(
        update={
            "database_url": f"postgresql+psycopg://u:secret@{nobody}/x",
            "broker_url": f"redis://{nobody}/0",
            "store_url": f"s3://canemap?endpoint=http://{nobody}&region=us-east-1",
        }
    )
    lost = Services.open(away)
    start = time.monotonic()
    assert {fault.code for fault in Readiness(lost).faults()} == {"database", "broker", "storage"}
    assert time.monotonic() - start < 10
    found = list(doctor.examine(lost, ("database", "broker", "storage", "workers")))
    assert {item.level for item in found} == {"fault"}
    assert "secret" not in str(found)
    lost.close()


def test_a_service_that_hangs_is_named_and_asked_only_once() -> None:
    asked: list[int] = []
    answering = threading.Event()

    def hang() -> list[Fault]:
        asked.append(1)
        answering.wait()
        return []

    probe = Probe("storage", hang)
    for _ in range(3):
        (fault,) = probe.begin().faults(0.2)
        assert (fault.code, "did not answer" in fault.detail) == ("storage", True)
    answering.set()
    assert probe.begin().faults(5) == []
    assert len(asked) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("only", "code"), [("gdal", 0), ("workers", 1), ("nothing", 2)])
def test_the_exit_code_says_whether_there_is_a_fault(settings: Settings, only: str, code: int) -> None:
    environment = {
        **os.environ,
        "CANEMAP_DATA_DIR": str(settings.data_dir),
        "CANEMAP_DATABASE_URL": settings.database,
    }
    done = commands.run("doctor", "--only", only, "--json", env=environment)
    assert done.returncode == code, done.stderr
    if code < 2:
        assert json.loads(done.stdout)[0]["part"] == only


def test_an_invalid_database_url_is_reported_without_its_password() -> None:
    environment = {**os.environ, "CANEMAP_DATABASE_URL": "garbage:secret@"}
    done = commands.run("doctor", env=environment)
    assert done.returncode and "CANEMAP_DATABASE_URL" in done.stderr and "write a URL" in done.stderr
    assert "secret" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_data_is_a_fault_and_stays_as_it_is(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "typo"
    if made:
        folder.mkdir()
    done = commands.run("doctor", "--json", "--data", str(folder), env=os.environ)
    found = {item["part"]: item for item in json.loads(done.stdout)}
    assert (done.returncode, found["folder"]["level"]) == (1, "fault")
    assert str(folder) in found["folder"]["detail"]
    assert {"versions", "machine", "gpu", "gdal"} <= found.keys()
    assert "database" not in found
    assert list(tmp_path.rglob("*")) == ([folder] if made else [])
