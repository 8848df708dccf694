"""What a job can open and reach: the work runs in a real process of a job, on both databases."""

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.inspection import landlock
from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from tests.worker import children
from worker import scratch, walls
from worker.supervisor import perform

JOB = "trn_1"
needs_landlock = pytest.mark.skipif(not walls.are_possible(), reason="this kernel's Landlock cannot hold a job")


def tried(services: Services, *tries: str) -> list[str]:
    """What a job logs that tries these things, as in `children.TRIES`."""
    folder = scratch.folder_of(services.settings.data_dir / "scratch", JOB)
    folder.mkdir(parents=True)
    (folder / "tries").write_text("\n".join(tries))
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
    perform(services, "training", threading.Event(), children.pries)
    with services.database.read() as session:
        assert lifecycle.get(session, JOB).status == "successful"
        lines = [line.text for line in lifecycle.read_log(session, JOB)]
    return [line for line in lines if line.endswith((": done", ": forbidden"))]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder of this user that no job needs, with a file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_text("a secret")
        yield Path(folder)


@needs_landlock
def test_a_job_cannot_open_the_other_files_of_its_user(services: Services, elsewhere: Path) -> None:
    tries = (
        f"read {elsewhere}/file",
        f"list {elsewhere}",
        f"write {elsewhere}",
        f"read /proc/{os.getpid()}/environ",
        "list /home",
        "list /root",
        "write /dev/shm",
        f"write {Path(sys.prefix)}",
        f"write {Path(walls.__file__).parent}",
    )
    assert tried(services, *tries) == [f"{each}: forbidden" for each in tries]
    assert not (elsewhere / "new").exists()


@needs_landlock
def test_a_job_can_use_the_store_its_folder_and_the_system(services: Services) -> None:
    folder = scratch.folder_of(services.settings.data_dir.resolve() / "scratch", JOB)
    tries = (
        f"write {folder}",
        f"write {services.settings.data_dir.resolve()}/store/objects",
        "read /proc/cpuinfo",
        "read /proc/self/environ",
        "read /etc/hosts",
        f"run {sys.executable}",
        f"polygons {folder}",  # so many that SQLite wants a temporary file
    )
    assert tried(services, *tries) == [f"{each}: done" for each in tries]


@pytest.mark.skipif(landlock.version() < 6, reason="this kernel's Landlock cannot forbid TCP and signals")
def test_a_job_reaches_no_other_port_and_no_other_process(services: Services) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tries = (f"connect {server.getsockname()[1]}", f"signal {os.getppid()}")
        assert tried(services, *tries) == [f"{each}: forbidden" for each in tries]


def test_a_job_runs_without_walls_where_the_kernel_has_none(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 1)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    walls.confine(settings, tmp_path / "job")
    assert Path(__file__).read_bytes()
    assert os.environ["TMPDIR"] == str(tmp_path / "job" / "tmp")


def test_a_training_whose_processes_meet_may_use_all_ports(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    monkeypatch.setattr(walls, "are_possible", lambda: True)
    monkeypatch.setattr(landlock, "restrict", lambda _, ports: found.append(ports))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    walls.confine(settings, tmp_path / "job", meets=True)
    walls.confine(settings, tmp_path / "job")
    assert found == [None, walls._ports(settings)]
    given = settings.model_copy(update={"gpu": "GPU-1,GPU-2"})
    assert (settings.processes_of_a_training, given.processes_of_a_training) == (1, 2)
    assert given.model_copy(update={"training_processes": 3}).processes_of_a_training == 3


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ({}, {53}),
        ({"database_url": "postgresql+psycopg://u:p@db/canemap"}, {53, 5432}),
        ({"database_url": "postgresql+psycopg://u:p@/canemap?host=a:5433,b:5434"}, {53, 5432, 5433, 5434}),
        ({"broker_url": "redis://broker:6380/0"}, {53, 6380}),
        ({"broker_url": "amqp://broker//"}, {53, 5672}),
        ({"store_url": "s3://bucket/x?endpoint=http://minio:9000"}, {53, 80, 443, 9000}),
    ],
)
def test_the_ports_are_those_of_database_broker_and_store(values: dict[str, str], ports: set[int]) -> None:
    assert walls._ports(Settings.model_validate(values)) == ports


def test_a_port_in_a_file_leaves_all_ports_open() -> None:
    assert walls._ports(Settings(database_url="postgresql+psycopg://u:p@/canemap?service=mine")) is None
