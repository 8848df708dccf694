"""Publishing that is killed before each of its steps: the result is complete and recorded, or there is none."""

from itertools import count

from app.jobs import claims, lifecycle
from app.services import Services
from app.tables import Job
from tests.worker import children
from worker.process import waiting_process

NEVER = 10_000


def test_a_kill_before_any_step_leaves_all_or_nothing_and_the_next_attempt_succeeds(services: Services) -> None:
    for step in count():
        job = f"trn_{step}"
        with services.database.write() as session:
            lifecycle.create(session, job, "training")
        code = publish(services, job, step)
        if code == 0:
            break
        assert code == -9
        if read(services, job).status == "running":
            with services.database.write() as session:
                assert lifecycle.give_back_or_fail(session, lifecycle.get(session, job), max_failures=3) == "accepted"
            assert publish(services, job, NEVER) == 0
        assert_done(services, job)
    assert step > 8, "publishing has more steps"
    assert_done(services, job)


def publish(services: Services, job: str, step: int) -> int | None:
    """The exit code of a process that publishes and kills itself before this step."""
    with services.database.write() as session:
        claim = claims.claim(session, job)
    with waiting_process(services.settings, children.publishes) as (process, connection):
        connection.send(claim)
        connection.send(step)
        process.join(60)
        return process.exitcode


def assert_done(services: Services, job: str) -> None:
    row = read(services, job)
    assert row.status == "successful"
    assert services.store.file(row.message).read_bytes() == children.PRODUCT


def read(services: Services, job: str) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, job)
