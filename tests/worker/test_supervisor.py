"""A supervisor and its child, which does the job, hangs or dies; with real processes, on both databases."""

import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import pytest

from app.core.db import Database
from app.jobs import claims, lifecycle
from app.services import Services
from app.settings import Settings
from app.tables import Job
from benchmarks.soak.fleet import descendants
from tests.waiting import eventually
from tests.worker import children
from worker import resume, scratch, supervisor
from worker.context import Abandoned, Dismissed, Released
from worker.process import Main, import_for, prepare, waiting_process
from worker.supervisor import JobSupervisor, perform

JOB = "trn_1"


@pytest.fixture(scope="module", autouse=True)
def forkserver_without_torch() -> Iterator[None]:
    """Let the forkserver start without importing torch, in a third of the time: tests kill it, and need no net."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkserver._forkserver, "_preload_modules", ["worker.process"])
        yield
        prepare()
        kill_forkserver()  # the next one imports everything again


@pytest.fixture
def fast(services: Services) -> Services:
    """Services with an accepted job and frequent heartbeats."""
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
    return with_settings(services, heartbeat_s=0.05)


def with_settings(services: Services, **values: float | str) -> Services:
    settings = services.settings.model_copy(update=values)
    return replace(services, settings=settings)


def read(services: Services) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, JOB)


@contextmanager
def performing(services: Services, main: Main) -> Iterator[threading.Event]:
    """A worker does the job during the block. Yields the event that stops it; it must have ended after the block."""
    stopping = threading.Event()
    thread = threading.Thread(target=perform, args=(services, "training", stopping, main))
    thread.start()
    try:
        eventually(lambda: read(services).status == "running")
        yield stopping
    finally:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_progress_reaches_the_job_with_an_estimate_of_the_time_left(fast: Services) -> None:
    with performing(fast, children.steps) as stopping:
        eventually(lambda: read(fast).done > 10 and (read(fast).eta_s or 0) > 0)
        assert (read(fast).stage, read(fast).total) == ("train", 10_000)
        stopping.set()


def test_heartbeats_continue_during_a_long_step(fast: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(supervisor.GRACE_S, Released, 0.1)
    with performing(fast, children.hangs) as stopping:
        before = read(fast).beat_seq
        eventually(lambda: read(fast).beat_seq > before + 3)
        stopping.set()


def test_a_stopped_worker_gives_the_job_back(fast: Services) -> None:
    with performing(fast, children.steps) as stopping:
        stopping.set()
    assert (read(fast).status, read(fast).failures) == ("accepted", 0)


def test_a_dismissed_job_is_stopped(fast: Services) -> None:
    with performing(fast, children.steps), fast.database.write() as session:
        lifecycle.dismiss(session, JOB)
    assert read(fast).status == "dismissed"


def test_a_child_that_does_not_stop_is_killed_and_the_job_dismissed(
    fast: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(supervisor.GRACE_S, Dismissed, 0.3)
    with performing(fast, children.hangs), fast.database.write() as session:
        lifecycle.dismiss(session, JOB)
    assert read(fast).status == "dismissed"


def test_a_child_without_progress_is_killed_and_the_job_tried_again(fast: Services) -> None:
    with performing(with_settings(fast, stall_s=0.5), children.hangs):
        pass
    assert (read(fast).status, read(fast).failures) == ("accepted", 1)
    assert read(fast).message.startswith("stalled: its process made no progress for 0.5 s")
    assert [(end.attempt, end.outcome) for end in read(fast).attempts] == [(1, "stalled")]


@pytest.mark.parametrize(
    ("main", "stall_s", "how"),
    [
        (children.crashes_in_a_reader, 60, "was ended by SIGSEGV"),
        (children.hangs_in_a_reader, 3, "made no progress for 3 s"),
    ],
)
def test_a_file_that_ends_its_reader_fails_the_job_at_once_and_is_named(
    fast: Services, main: Main, stall_s: float, how: str
) -> None:
    perform(with_settings(fast, stall_s=stall_s), "training", threading.Event(), main)
    job = read(fast)
    assert (job.status, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert (job.error.type, job.error.status) == ("inspection-limit", 422)
    assert f"In stage 'audit', scene 'a': reading the files of the job {how}." in job.error.detail
    with fast.database.read() as session:
        assert lifecycle.read_log(session, JOB)[-1].text == f"failed: {job.error.detail}"


@pytest.mark.parametrize("main", [children.is_killed_in_a_reader, children.crashes_elsewhere])
def test_a_death_that_says_nothing_about_a_file_is_tried_again(fast: Services, main: Main) -> None:
    perform(fast, "training", threading.Event(), main)
    assert (read(fast).status, read(fast).failures) == ("accepted", 1)


def test_a_process_that_is_killed_just_after_its_success_leaves_nothing(fast: Services, tmp_path: Path) -> None:
    unfinished = tmp_path / "epoch"
    unfinished.write_bytes(b"weights")
    fast.store.put(unfinished, f"{resume.place_of(JOB)}000001-epoch")
    perform(fast, "training", threading.Event(), children.succeeds_and_dies)
    assert read(fast).status == "successful"
    assert not list(fast.store.keys("resume/"))
    assert not scratch.folder_of(fast.settings.data_dir / "scratch", JOB).exists()


def test_a_job_whose_process_died_three_times_fails_and_names_the_signal(fast: Services) -> None:
    for failures in (1, 2, 3):
        perform(fast, "training", threading.Event(), children.dies)
        assert read(fast).failures == failures
    assert read(fast).status == "failed"
    error = read(fast).error
    assert error is not None
    assert error.type == "worker-lost"
    assert "SIGKILL" in error.detail
    assert [(end.attempt, end.outcome) for end in read(fast).attempts] == [(n, "crashed") for n in (1, 2, 3)]
    with fast.database.read() as session:
        lines = [(line.attempt, line.text) for line in lifecycle.read_log(session, JOB)]
    assert [attempt for attempt, _ in lines] == [1, 2, 3]
    assert lines[0][1].startswith(
        "crashed: its process was ended by SIGKILL, perhaps because memory ran out (failure 1"
    )
    assert "died 3 times" in lines[2][1]


def test_a_job_whose_process_died_pauses_longer_each_time(fast: Services) -> None:
    slow = with_settings(fast, retry_pauses_s="20,300", sweep_s=10)
    for failures, pause_s in ((1, 20), (2, 300)):
        perform(slow, "training", threading.Event(), children.dies)
        job = read(slow)
        assert (job.status, job.failures, job.pause_s) == ("accepted", failures, pause_s)
        assert job.next_attempt is not None
        assert job.message.endswith(f"tried again at {job.next_attempt:%H:%M:%S} UTC")
        assert not perform(slow, "training", threading.Event(), children.dies), "it is not claimed while it pauses"
        assert read(slow).attempt == failures
        with slow.database.write() as session:
            lifecycle.end_pause(session, job)


def test_the_message_has_the_exit_code_of_the_process(fast: Services) -> None:
    perform(fast, "training", threading.Event(), children.exits)
    assert "ended with code 7" in read(fast).message


def test_a_stale_message_makes_a_worker_do_the_oldest_job(fast: Services) -> None:
    with fast.database.write() as session:
        lifecycle.create(session, "trn_0", "training")
        lifecycle.dismiss(session, "trn_0")
    perform(fast, "training", threading.Event(), children.exits)
    assert (read(fast).attempt, read(fast).failures) == (1, 1)


def test_a_job_without_a_message_keeps_its_place_in_the_queue(fast: Services) -> None:
    with fast.database.write() as session:
        lifecycle.create(session, "trn_2", "training")
    perform(fast, "training", threading.Event(), children.exits)
    assert read(fast).attempt == 1


def test_the_death_of_the_forkserver_causes_no_failure(fast: Services) -> None:
    prepare()
    kill_forkserver()
    with performing(fast, children.steps) as stopping:
        eventually(lambda: read(fast).done > 0)
        stopping.set()
    assert (read(fast).status, read(fast).attempt, read(fast).failures) == ("accepted", 1, 0)


def test_no_job_is_claimed_without_a_process_for_it(fast: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forkserver dies just after a check that it is alive."""
    prepare()
    kill_forkserver()
    monkeypatch.setattr(forkserver._forkserver, "ensure_running", lambda: None)
    assert not perform(fast, "training", threading.Event(), children.steps)
    assert (read(fast).status, read(fast).attempt, read(fast).failures) == ("accepted", 0, 0)


def kill_forkserver() -> None:
    """Kill the forkserver without waiting for it, so that multiprocessing does not know yet that it is dead."""
    pid = vars(forkserver._forkserver)["_forkserver_pid"]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_job_that_another_worker_has_claimed_is_left_alone(fast: Services) -> None:
    with performing(fast, children.hangs), fast.database.write() as session:
        lifecycle.give_back_or_fail(session, lifecycle.get(session, JOB), max_failures=3)
        claims.claim(session, JOB)
    assert (read(fast).status, read(fast).attempt, read(fast).failures) == ("running", 2, 1)


def test_a_supervisor_without_a_database_gives_the_job_up_in_time(services: Services) -> None:
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
        claim = claims.claim(session, JOB)
    assert claim is not None
    short_lease = services.settings.model_copy(update={"heartbeat_s": 0.05, "lease_s": 0.5})
    nowhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    isolated = JobSupervisor(replace(services, settings=short_lease, database=nowhere), claim, threading.Event())
    with pytest.MonkeyPatch.context() as patch, waiting_process(short_lease, children.hangs) as (process, connection):
        patch.setattr(JobSupervisor, "_settle", lambda *_: None)  # it needs a database, and would only fail
        isolated.supervise(process, connection)
    assert isolated._reason is Abandoned


def test_the_forkserver_has_the_environment_variables_that_libraries_need() -> None:
    show = "print(open(f'/proc/{forkserver._forkserver._forkserver_pid}/environ').read())"
    lean = "forkserver._forkserver._preload_modules = []"
    code = f"from multiprocessing import forkserver; from worker.process import prepare; {lean}; prepare(); {show}"
    environment = {**os.environ, "MALLOC_ARENA_MAX": "3"}
    environment.pop("OMP_WAIT_POLICY", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = done.stdout.split("\0")
    assert "OMP_WAIT_POLICY=PASSIVE" in found
    assert "MALLOC_ARENA_MAX=3" in found, "variables that the operator has set stay"


@pytest.mark.parametrize(("queues", "imports"), [(["training"], True), (["light", "prediction"], False)])
def test_only_the_forkserver_of_trainings_imports_what_they_alone_need(
    monkeypatch: pytest.MonkeyPatch, queues: list[str], imports: bool
) -> None:
    monkeypatch.setattr(forkserver._forkserver, "_preload_modules", [])
    import_for(queues)
    preloaded = vars(forkserver._forkserver)["_preload_modules"]
    assert ("ml.nn.training.pictures" in preloaded) == imports
    assert {"worker.process", "ml.nn.prediction.predict"} <= set(preloaded)


@pytest.mark.parametrize(
    ("database", "store", "names"),
    [("", "", set()), ("postgresql+psycopg:///x", "", {"psycopg"}), ("", "s3://bucket", {"app.storage.s3"})],
)
def test_the_forkserver_imports_the_clients_of_the_servers_that_there_are(
    monkeypatch: pytest.MonkeyPatch, database: str, store: str, names: set[str]
) -> None:
    monkeypatch.setattr(forkserver._forkserver, "_preload_modules", [])
    import_for(["light"])
    before = set(vars(forkserver._forkserver)["_preload_modules"])
    import_for(["light"], Settings(database_url=database, store_url=store))
    assert set(vars(forkserver._forkserver)["_preload_modules"]) - before == names
    for name in names:
        importlib.import_module(name)  # a wrong name would import nothing, and say nothing


def test_a_child_that_is_stuck_between_two_steps_is_ended_and_counted(fast: Services) -> None:
    impatient = with_settings(fast, step_stall_s=2, retry_pauses_s="60")
    with performing(impatient, children.steps):
        eventually(lambda: read(fast).done > 2)
        ((child, _),) = descendants(vars(forkserver._forkserver)["_forkserver_pid"])
        os.kill(child, signal.SIGSTOP)
        eventually(lambda: read(fast).status == "accepted")
    job = read(fast)
    assert (job.failures, job.attempts[-1].outcome) == (1, "stalled")
    assert "made no step for " in job.message


def test_a_slow_start_is_no_stall(fast: Services) -> None:
    impatient = with_settings(fast, step_stall_s=0.2)
    assert perform(impatient, "training", threading.Event(), children.begins_slowly)
    assert (read(fast).status, read(fast).failures) == ("successful", 0)
