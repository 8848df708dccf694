"""The recorder returns exactly what the database committed, on both databases."""

import pytest

from app.core.columns import now
from app.core.db import Database
from app.jobs import claims, lifecycle
from app.services import Services
from benchmarks.soak.figures import Recovery, recoveries
from benchmarks.soak.history import Event, Row
from benchmarks.soak.recorder import Recorder
from tests.app.conftest import services, settings

__all__ = ["services", "settings"]


@pytest.fixture
def database(services: Services) -> Database:
    with services.database.write() as session:
        lifecycle.create(session, "before", "prediction")
    return services.database


def test_each_committed_move_is_recorded_and_nothing_else(database: Database) -> None:
    recorder = Recorder(database)
    recorder.install()
    with database.write() as session:
        lifecycle.create(session, "trn_1", "training")
    with database.write() as session:
        lost = claims.claim(session, "trn_1")
        claims.claim(session, "before")
    assert lost
    with database.write() as session:
        claims.beat(session, lost, None, None)
        claims.log(session, lost, [(now(), "epoch 1 seconds 5"), (now(), "epoch 2 seconds 4")])
    with database.write() as session:
        lifecycle.give_back_or_fail(session, lifecycle.get(session, "trn_1"), max_failures=3)
    with database.write() as session:
        taken = claims.claim(session, "trn_1")
        assert taken
        lines = "epoch 1 seconds 5", "epoch 2 seconds 6", "epoch 3 seconds 4"
        claims.log(session, taken, [(now(), line) for line in lines])
        claims.succeed(session, taken)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        lifecycle.create(session, "rolled-back", "training")
        _ = 1 / 0

    events = recorder.events()
    moves = [(event.what, event.status, event.attempt, event.failures) for event in events]
    assert moves == [
        ("created", "accepted", 0, 0),
        ("moved", "running", 1, 0),
        ("moved", "accepted", 1, 1),
        ("moved", "running", 2, 1),
        ("moved", "successful", 2, 1),
    ]
    assert {event.job for event in events} == {"trn_1"}
    assert abs(events[-1].at - now().timestamp()) < 60
    assert recorder.rows() == {"trn_1": Row("successful", 2, 1)}
    assert recorder.epochs_again() == [1], "the line of the first epoch is repeated, the second epoch was done again"


def test_a_recovery_counts_from_the_kill_in_its_attempt() -> None:
    life = [
        Event(0, "a", "created", "accepted"),
        Event(1, "a", "moved", "running", 1),
        Event(7, "a", "moved", "accepted", 1, 1),
        Event(9, "a", "moved", "running", 2, 1),
    ]
    assert list(recoveries(life, [(0.5, "early"), (2, "worker_killed")])) == [Recovery("worker_killed", 5, 7)]
    assert list(recoveries(life, [(0.5, "early")])) == [], "a kill before the claim was the death of another worker"
