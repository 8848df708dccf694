"""The life of a job: legal moves, fencing, dismissal, dead workers; on both databases."""

import threading
from collections.abc import Callable

import pytest

from app.core.columns import now
from app.core.errors import Conflict, NotFound
from app.jobs import claims, kinds, lifecycle
from app.jobs.claims import Claim, Lost
from app.jobs.queue import JobQueue
from app.jobs.sweep import Sweeper
from app.services import Services
from app.tables import Job
from ml.progress import Progress
from tests.app.documents import problem


@pytest.fixture
def job(services: Services) -> Job:
    """An accepted training."""
    with services.database.write() as session:
        return lifecycle.create(session, "trn_1", "training")


def claim(services: Services) -> Claim:
    with services.database.write() as session:
        taken = claims.claim(session, "trn_1")
    assert taken is not None
    return taken


def read(services: Services) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, "trn_1")


def test_a_claimed_job_cannot_be_claimed_again(services: Services, job: Job) -> None:
    assert claim(services).attempt == 1
    with services.database.write() as session:
        assert claims.claim(session, "trn_1") is None


def eight_at_once(run: Callable[[], None]) -> None:
    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_many_claims_at_the_same_time_exactly_one_succeeds(services: Services, job: Job) -> None:
    taken: list[Claim | None] = []

    def run() -> None:
        with services.database.write() as session:
            taken.append(claims.claim(session, "trn_1"))

    eight_at_once(run)
    assert sum(one is not None for one in taken) == 1


def test_the_oldest_waiting_job_of_a_queue_is_claimed_first(services: Services) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "prd_1", "prediction")
        lifecycle.create(session, "exp_1", "experiment")
        lifecycle.create(session, "gx:1", "dataset")
        lifecycle.create(session, "gx:2", "dataset")
        lifecycle.create(session, "run_1", "training", parent="exp_1")  # the experiment waits for it
        taken = [claims.claim_waiting(session, "light") for _ in range(3)]
        assert claims.claim_waiting(session, "prediction") == Claim("prd_1", "prediction", 1)
    assert taken == [Claim("gx:1", "dataset", 1), Claim("gx:2", "dataset", 1), None]


def test_a_job_for_newer_workers_waits_and_younger_ones_do_not(services: Services) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "prd_1", "prediction").protocol = kinds.PROTOCOL + 1
        lifecycle.create(session, "prd_2", "prediction")
    with services.database.write() as session:
        assert [job.id for job in claims.oldest_waiting(session, "prediction", 9)] == ["prd_2"]
        assert claims.claim_waiting(session, "prediction") == Claim("prd_2", "prediction", 1)
        assert claims.claim_waiting(session, "prediction") is None
        assert claims.claim(session, "prd_1") is None
    with pytest.MonkeyPatch.context() as patch, services.database.write() as session:
        patch.setattr(kinds, "PROTOCOL", kinds.PROTOCOL + 1)
        assert claims.claim_waiting(session, "prediction") == Claim("prd_1", "prediction", 1)


def test_many_workers_at_the_same_time_claim_each_job_once(services: Services) -> None:
    with services.database.write() as session:
        for number in range(6):
            lifecycle.create(session, f"prd_{number}", "prediction")
    taken: list[Claim | None] = []

    def run() -> None:
        with services.database.write() as session:
            taken.append(claims.claim_waiting(session, "prediction"))

    eight_at_once(run)
    assert sorted(one.job_id for one in taken if one) == [f"prd_{number}" for number in range(6)]


def test_a_job_that_does_not_exist_cannot_be_claimed_or_dismissed(services: Services) -> None:
    with services.database.write() as session:
        assert claims.claim(session, "nothing") is None
    with pytest.raises(NotFound), services.database.write() as session:
        lifecycle.dismiss(session, "nothing")


def test_a_heartbeat_records_progress_and_raises_the_revision(services: Services, job: Job) -> None:
    taken = claim(services)
    before = read(services).revision
    with services.database.write() as session:
        assert claims.beat(session, taken, Progress("train", 3, 10), eta_s=7.0) is False
    after = read(services)
    assert (after.stage, after.done, after.total, after.eta_s) == ("train", 3, 10, 7.0)
    assert after.revision > before


def test_a_worker_that_lost_its_claim_can_write_nothing(services: Services, job: Job) -> None:
    zombie = claim(services)
    with services.database.write() as session:
        assert lifecycle.give_back_or_fail(session, read(services), max_failures=3) == "accepted"
    successor = claim(services)
    assert successor.attempt == 2
    for write in (
        lambda session: claims.beat(session, zombie, None, None),
        lambda session: claims.succeed(session, zombie),
        lambda session: claims.fail(session, zombie, problem("x")),
        lambda session: claims.dismissed(session, zombie),
        lambda session: claims.release(session, zombie),
    ):
        with pytest.raises(Lost), services.database.write() as session:
            write(session)
    assert read(services).status == "running"


def test_a_job_that_has_ended_never_changes_its_status(services: Services, job: Job) -> None:
    taken = claim(services)
    with services.database.write() as session:
        claims.succeed(session, taken)
    with services.database.write() as session:
        assert claims.claim(session, "trn_1") is None
        assert lifecycle.give_back_or_fail(session, read(services), max_failures=3) is None
    with pytest.raises(Conflict, match="successful"), services.database.write() as session:
        lifecycle.dismiss(session, "trn_1")
    ended = read(services)
    assert ended.status == "successful"
    assert ended.finished is not None


def test_dismissing_a_waiting_job_ends_it_at_once(services: Services, job: Job) -> None:
    with services.database.write() as session:
        assert lifecycle.dismiss(session, "trn_1").status == "dismissed"
    with services.database.write() as session:
        assert lifecycle.dismiss(session, "trn_1").status == "dismissed"  # twice is harmless


def test_dismissing_a_running_job_asks_its_worker_to_stop(services: Services, job: Job) -> None:
    taken = claim(services)
    with services.database.write() as session:
        assert lifecycle.dismiss(session, "trn_1").status == "running"
        assert claims.beat(session, taken, None, None) is True
        claims.dismissed(session, taken)
    assert read(services).status == "dismissed"


def test_a_dismissed_job_whose_worker_died_is_not_done_again(services: Services, job: Job) -> None:
    claim(services)
    with services.database.write() as session:
        lifecycle.dismiss(session, "trn_1")
    with services.database.write() as session:
        assert lifecycle.give_back_or_fail(session, read(services), max_failures=3) == "dismissed"


def test_a_released_job_is_accepted_again_without_a_failure(services: Services, job: Job) -> None:
    taken = claim(services)
    with services.database.write() as session:
        claims.release(session, taken)
    back = read(services)
    assert (back.status, back.failures) == ("accepted", 0)


def test_a_job_whose_workers_died_three_times_fails_with_the_reason(services: Services, job: Job) -> None:
    for _ in range(3):
        claim(services)
        with services.database.write() as session:
            lifecycle.give_back_or_fail(session, read(services), max_failures=3)
    failed = read(services)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.type == "worker-lost"
    assert "3 times" in failed.message


def test_the_lines_of_a_log_keep_their_order(services: Services, job: Job) -> None:
    taken = claim(services)
    with services.database.write() as session:
        claims.log(session, taken, [(now(), "first"), (now(), "second")])
    with services.database.read() as session:
        assert [line.text for line in lifecycle.read_log(session, "trn_1")] == ["first", "second"]


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def __call__(self) -> float:
        return self.time_s


def test_the_sweep_gives_back_only_a_job_without_heartbeats(services: Services, job: Job) -> None:
    clock = Clock()
    sweeper = Sweeper(services.database, services.queue, services.settings, clock)
    taken = claim(services)
    for _ in range(5):
        clock.time_s += 8  # shorter than the lease of 10 s
        with services.database.write() as session:
            claims.beat(session, taken, None, None)
        sweeper.sweep()
    assert read(services).status == "running"
    for _ in range(3):
        assert read(services).status == "running"
        clock.time_s += 4
        sweeper.sweep()
    assert (read(services).status, read(services).failures) == ("accepted", 1)


def test_a_pause_ends_by_the_clock_of_the_sweep_alone(services: Services, job: Job) -> None:
    clock, settings = Clock(), services.settings.model_copy(update={"sweep_s": 5})
    sweeper = Sweeper(services.database, services.queue, settings, clock)
    claim(services)
    with services.database.write() as session:
        assert lifecycle.give_back_or_fail(session, read(services), max_failures=3, pause_s=12) == "accepted"
    for _ in range(3):
        sweeper.sweep()
        with services.database.write() as session:
            assert claims.claim(session, job.id) is None, "it pauses"
        assert _messages(services) == 0
        clock.time_s += 5
    sweeper.sweep()
    assert _messages(services) == 1
    taken = claim(services)
    assert (taken.attempt, read(services).next_attempt) == (2, None)


def test_a_job_without_heartbeats_does_not_seem_to_go_on(services: Services, job: Job) -> None:
    clock = Clock()
    sweeper = Sweeper(services.database, services.queue, services.settings, clock)
    taken = claim(services)
    with services.database.write() as session:
        claims.beat(session, taken, Progress("train", 61, 100), None)
    before = read(services)
    for _ in range(2):
        sweeper.sweep()
        clock.time_s += 4
    sweeper.sweep()
    silent = read(services)
    assert silent.status == "running"
    assert silent.message.startswith(f"no heartbeat since {before.updated:%H:%M:%S} UTC")
    assert (silent.updated, silent.beat_seq) == (before.updated, before.beat_seq)
    assert silent.revision == before.revision + 1, "it is told once, to those who watch"
    clock.time_s += 4
    sweeper.sweep()
    lost = read(services)
    assert lost.message.startswith("worker lost: its process sent no heartbeat any more (failure 1 of 3); tried again")
    assert [(end.attempt, end.outcome) for end in lost.attempts] == [(1, "worker-lost")]
    with services.database.read() as session:
        assert lifecycle.read_log(session, job.id)[-1].text == lost.message


def test_a_sweep_that_was_delayed_itself_considers_no_worker_dead(services: Services, job: Job) -> None:
    clock, settings = Clock(), services.settings.model_copy(update={"sweep_s": 1})
    sweeper = Sweeper(services.database, services.queue, settings, clock)
    taken = claim(services)
    for _ in range(3):
        sweeper.sweep()
        clock.time_s += 1000
        sweeper.sweep()
        assert read(services).status == "running"
        with services.database.write() as session:
            claims.beat(session, taken, None, None)


def test_two_sweeps_count_the_death_of_a_worker_once(services: Services, job: Job) -> None:
    clock = Clock()
    sweepers = [Sweeper(services.database, services.queue, services.settings, clock) for _ in range(2)]
    claim(services)
    for _ in range(4):
        for sweeper in sweepers:
            sweeper.sweep()
        clock.time_s += 4
    assert read(services).failures == 1


def test_the_sweep_notifies_again_when_messages_were_lost_and_sends_one_for_each_job(
    services: Services, job: Job
) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "trn_2", "training")
    sweeper = Sweeper(services.database, services.queue, services.settings)
    for _ in range(3):
        sweeper.sweep()
        assert _messages(services) == 2
    for message in services.settings.broker_dir.glob("*.msg"):
        message.unlink()
    sweeper.sweep()
    assert _messages(services) == 2


def test_the_messages_in_a_queue_are_counted(services: Services, job: Job, redis_url: str) -> None:
    for broker in ("", redis_url):
        queue = JobQueue(services.settings.model_copy(update={"broker_url": broker}))
        assert [queue.messages(name) for name in ("training", "light")] == [0, 0]
        queue.notify(job)
        queue.notify(job)
        assert [queue.messages(name) for name in ("training", "light")] == [2, 0]


def _messages(services: Services) -> int:
    return len([path for path in services.settings.broker_dir.iterdir() if path.suffix == ".msg"])


@pytest.fixture
def experiment(services: Services) -> list[str]:
    """The ids of an experiment and of its two trainings."""
    with services.database.write() as session:
        lifecycle.create(session, "exp_1", "experiment", total=3)
        for run in ("run_1", "run_2"):
            lifecycle.create(session, run, "training", parent="exp_1")
    return ["exp_1", "run_1", "run_2"]


def end(services: Services, job_id: str, error: str | None = None) -> None:
    with services.database.write() as session:
        taken = claims.claim(session, job_id)
        assert taken is not None
        claims.fail(session, taken, problem(error)) if error else claims.succeed(session, taken)


def status(services: Services, job_id: str) -> tuple[str, str, int]:
    with services.database.read() as session:
        job = lifecycle.get(session, job_id)
    return job.status, job.stage, job.done


def test_an_experiment_cannot_be_claimed_before_all_its_trainings_have_ended(
    services: Services, experiment: list[str]
) -> None:
    def claimed() -> bool:
        with services.database.write() as session:
            return claims.claim(session, "exp_1") is not None

    assert not claimed()
    end(services, "run_1")
    assert status(services, "exp_1") == ("accepted", "runs", 1)
    assert not claimed()
    end(services, "run_2", error="diverged")
    assert status(services, "exp_1") == ("accepted", "runs", 2)
    assert claimed(), "even if a training has failed"


def test_dismissing_an_experiment_dismisses_its_trainings(services: Services, experiment: list[str]) -> None:
    with services.database.write() as session:
        claims.claim(session, "run_1")
    with services.database.write() as session:
        lifecycle.dismiss(session, "exp_1")
    assert status(services, "exp_1")[0] == "dismissed"
    assert status(services, "run_2")[0] == "dismissed"
    with services.database.read() as session:
        assert lifecycle.get(session, "run_1").dismissal_requested, "its worker must stop it"


def test_the_sweep_notifies_of_an_experiment_only_when_its_trainings_have_ended(
    services: Services, experiment: list[str]
) -> None:
    sweeper = Sweeper(services.database, services.queue, services.settings)
    assert {job.id for job in sweeper._waiting()} == {"run_1", "run_2"}
    for run in ("run_1", "run_2"):
        end(services, run)
    assert [job.id for job in sweeper._waiting()] == ["exp_1"]
