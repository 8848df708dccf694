"""A database that cannot be reached for some time while a job is being done."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest

from app.core.db import migrate
from app.jobs import claims, lifecycle
from app.operations.background import start_rounds
from app.services import Services
from app.settings import Settings
from app.tables import Job
from benchmarks.soak.fleet import descendants
from tests import servers
from tests.waiting import eventually
from tests.worker import children
from worker.attempt import _publish
from worker.context import JobContext, Outcome
from worker.supervisor import perform

JOB, AWAY_S = "trn_1", 1.5


@pytest.fixture
def server() -> Iterator[tuple[str, servers.Server]]:
    """The URL of an empty database, and its PostgreSQL server, which a test may stop."""
    with servers.postgres_process() as (url, process):
        yield url.render_as_string(hide_password=False), process


def test_a_finished_job_waits_for_an_unreachable_database(tmp_path: Path, server: tuple[str, servers.Server]) -> None:
    url, process = server
    services = Services.open(settings := Settings(data_dir=tmp_path, database_url=url))
    migrate(settings)
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
        claim = claims.claim(session, JOB)
    assert claim is not None
    context, recorded = JobContext(services.database, claim, Pipe()[0]), []
    context.log("the work is done")
    (tmp_path / "map.tif").write_bytes(b"a map")
    outcome = Outcome(lambda _, stored: recorded.append(stored), {"map.tif": tmp_path / "map.tif"})

    process.stop()
    publishing = threading.Thread(target=_publish, args=(services, context, outcome))
    publishing.start()
    time.sleep(AWAY_S)
    assert publishing.is_alive()
    process.start()
    publishing.join(timeout=30)

    with services.database.read() as session:
        assert lifecycle.get(session, JOB).status == "successful"
        assert [line.text for line in lifecycle.read_log(session, JOB)] == ["the work is done", "successful"]
    assert services.store.file(recorded[0]["map.tif"].object).read_bytes() == b"a map"
    services.close()


def test_a_database_pause_longer_than_the_lease_causes_no_failure(
    tmp_path: Path, server: tuple[str, servers.Server]
) -> None:
    url, process = server
    settings = Settings(data_dir=tmp_path, database_url=url, lease_s=2, heartbeat_s=0.1, sweep_s=0.1)
    migrate(settings)
    services = Services.open(settings)
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
    stop = threading.Event()
    background = start_rounds(services, stop)
    performing = threading.Thread(target=perform, args=(services, "training", stop, children.steps))
    performing.start()
    eventually(lambda: read(services).done > 0)
    pause(process, seconds=2 * settings.lease_s)
    done = read(services).done
    eventually(lambda: read(services).done > done)
    stop.set()
    performing.join(timeout=30)
    assert (read(services).status, read(services).attempt, read(services).failures) == ("accepted", 1, 0)
    for thread in background:
        thread.join()
    services.close()


def read(services: Services) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, JOB)


def pause(server: servers.Server, seconds: float) -> None:
    """Stop all processes of the server for some seconds, as when its machine is paused."""
    assert server.process is not None
    pids = [server.process.pid, *(pid for pid, _ in descendants(server.process.pid))]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            os.kill(pid, number)
        if number == signal.SIGSTOP:
            time.sleep(seconds)
