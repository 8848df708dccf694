"""A job while it is worked on: heartbeat, progress, and the signs to stop; on both databases."""

import threading
import time
from collections.abc import Callable

import pytest

from app import jobs
from app.db import Database
from app.models import Job
from app.services import Services
from ml.progress import Progress
from worker.held import Abandoned, Dismissed, Held, Released


@pytest.fixture
def held(services: Services) -> Held:
    fast = services.settings.model_copy(update={"heartbeat_s": 0.05})
    with services.database.write() as session:
        jobs.create(session, "trn_1", "training")
        claim = jobs.claim(session, "trn_1")
    assert claim is not None
    return Held(services.database, fast, claim, threading.Event())


def read(services: Services) -> Job:
    with services.database.read() as session:
        return jobs.get(session, "trn_1")


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def work_until_stopped(held: Held) -> None:
    for step in range(10_000):
        held.watch(Progress("train", step, 10_000))
        time.sleep(0.01)


def test_progress_reaches_the_job_with_an_estimate_of_the_time_left(services: Services, held: Held) -> None:
    with held.beating():
        for step in range(1, 6):
            held.watch(Progress("train", step, 10))
            time.sleep(0.05)
        eventually(lambda: read(services).done == 5)
    assert (read(services).stage, read(services).total) == ("train", 10)
    assert (read(services).eta_s or 0) > 0


def test_a_note_becomes_a_line_of_the_log(services: Services, held: Held) -> None:
    held.watch(Progress("train", 1, 2, note="time 3 s: forward 40%"))
    with services.database.write() as session:
        held.flush_log(session)
    with services.database.read() as session:
        lines = [line.text for line in jobs.read_log(session, "trn_1")]
    assert lines == ["train: 2 to do", "time 3 s: forward 40%"]


def test_the_job_stays_ours_in_the_middle_of_a_long_step(services: Services, held: Held) -> None:
    with held.beating():
        before = read(services).beat_seq
        eventually(lambda: read(services).beat_seq > before + 3)  # nothing calls watch meanwhile


def test_dismissing_a_running_job_stops_the_work(services: Services, held: Held) -> None:
    with services.database.write() as session:
        jobs.dismiss(session, "trn_1")
    with held.beating(), pytest.raises(Dismissed):
        work_until_stopped(held)


def test_a_job_claimed_by_another_stops_the_work(services: Services, held: Held) -> None:
    with services.database.write() as session:
        jobs.bury(session, jobs.get(session, "trn_1"), max_failures=3)
        jobs.claim(session, "trn_1")
    with held.beating(), pytest.raises(Abandoned):
        work_until_stopped(held)


def test_a_worker_that_is_told_to_end_stops_the_work(services: Services) -> None:
    with services.database.write() as session:
        jobs.create(session, "trn_1", "training")
        claim = jobs.claim(session, "trn_1")
    assert claim is not None
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Released):
        work_until_stopped(Held(services.database, services.settings, claim, stopping))


def test_a_worker_without_its_database_gives_the_job_up_in_time(services: Services, held: Held) -> None:
    impatient = services.settings.model_copy(update={"heartbeat_s": 0.05, "lease_s": 0.5})
    nowhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(Abandoned):
        cut_off = Held(nowhere, impatient, held.claim, threading.Event())
        with cut_off.beating():
            work_until_stopped(cut_off)


def test_the_values_of_an_epoch_are_recorded_only_while_the_job_is_ours(services: Services, held: Held) -> None:
    seen: list[int] = []
    held.on_values = lambda session, progress: seen.append(progress.done)
    held.watch(Progress("train", 1, 2, values={"epoch": 1}))
    with services.database.write() as session:
        jobs.bury(session, jobs.get(session, "trn_1"), max_failures=3)
    with pytest.raises(Abandoned):
        held.watch(Progress("train", 2, 2, values={"epoch": 2}))
    assert seen == [1]
