"""The context of a job in the process that does it: reports of progress and requests to stop; on both databases."""

from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection

import pytest

from app.jobs import claims, lifecycle
from app.services import Services
from ml.progress import Progress
from tests.worker import children
from worker.context import Abandoned, Dismissed, JobContext

JOB = "trn_1"


@pytest.fixture
def claim(services: Services) -> claims.Claim:
    with services.database.write() as session:
        lifecycle.create(session, JOB, "training")
        claim = claims.claim(session, JOB)
    assert claim is not None
    return claim


@pytest.fixture
def supervisor() -> tuple[Connection, Connection]:
    """The two ends of a connection: the end of the supervisor, and the end of the process that does the job."""
    return Pipe()


@pytest.fixture
def context(services: Services, claim: claims.Claim, supervisor: tuple[Connection, Connection]) -> JobContext:
    return JobContext(services.database, claim, supervisor[1])


def test_progress_is_reported_to_the_supervisor_but_not_at_every_step(
    context: JobContext, supervisor: tuple[Connection, Connection]
) -> None:
    for step in range(1, 1001):
        context.watch(Progress("train", step, 1000))
    received = []
    while supervisor[0].poll():
        received.append(supervisor[0].recv().done)
    assert (received[0], received[-1]) == (1, 1000)
    assert len(received) < 100


def test_a_note_is_written_to_the_log(services: Services, context: JobContext) -> None:
    context.watch(Progress("train", 1, 2, note="time 3 s: forward 40%"))
    with context.writing():
        pass
    with services.database.read() as session:
        lines = [line.text for line in lifecycle.read_log(session, JOB)]
    assert lines == ["train: 2 to do", "time 3 s: forward 40%"]


def test_a_request_to_stop_is_obeyed(context: JobContext, supervisor: tuple[Connection, Connection]) -> None:
    supervisor[0].send(Dismissed)
    with context.listening(), pytest.raises(Dismissed):
        while True:
            context.watch(Progress("train", 1, 2))


def test_a_process_ends_when_its_supervisor_has_died(services: Services, claim: claims.Claim) -> None:
    context = get_context("forkserver")
    connection, its_connection = context.Pipe()
    process = context.Process(target=children.steps, args=(services.settings, claim, its_connection))
    process.start()
    its_connection.close()
    assert connection.poll(30)
    connection.close()
    process.join(timeout=30)
    assert process.exitcode == 1


def test_the_values_of_an_epoch_are_recorded_only_with_a_valid_claim(services: Services, context: JobContext) -> None:
    recorded: list[int] = []
    context.on_values = lambda session, progress: recorded.append(progress.done)
    context.watch(Progress("train", 1, 2, values={"epoch": 1}))
    with services.database.write() as session:
        lifecycle.give_back_or_fail(session, lifecycle.get(session, JOB), max_failures=3)
    with pytest.raises(Abandoned):
        context.watch(Progress("train", 2, 2, values={"epoch": 2}))
    assert recorded == [1]
