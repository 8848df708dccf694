"""Schedules by a clock that the test moves, for a month; on both databases.

No net is trained here: `train` registers a version with chosen metrics, in the transaction that a worker would use.
"""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Text, cast, select

from app.core.acting import Act, acting
from app.core.errors import Conflict, Forbidden, Invalid, PreconditionFailed
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.preconditions import ANY, IfMatch
from app.data import datasets
from app.jobs import claims, lifecycle
from app.learning import evaluations, registry, trainings
from app.requests.learning import ModelPatch, TrainingRequest
from app.requests.schedules import PromoteRequest, SchedulePatch, ScheduleRequest
from app.schedules import cron, schedule_runs, schedules
from app.schedules.due import Ticker
from app.services import Services
from app.storage import Stored
from app.tables import Dataset, Schedule, ScheduleRun
from app.upkeep import deletion, titles
from app.upkeep.references import Thing
from ml.checkpoint_header import CheckpointHeader
from ml.config import TrainConfig
from ml.evaluation.metrics import Metrics
from tests.app.documents import CONTRACT, REQUEST, prepared, problem

GPU = "NVIDIA A100-SXM4-80GB"
START = datetime(2026, 10, 1, tzinfo=UTC)
GATE = PromoteRequest(min_gain=0.005, guards={"recall": -0.02})


class Clock:
    """A clock that the test moves."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def dataset(services: Services) -> str:
    """The id of a prepared dataset without scenes."""
    return add_dataset(services, 1)


def add_dataset(services: Services, version: int) -> str:
    id_ = f"gx:{version}"
    counts = {"other": 9, "sugarcane": 9, "unlabelled": 0}
    with services.database.write() as session:
        claims.succeed(session, _claim(session, lifecycle.create(session, id_, "dataset").id))
        row = Dataset(id=id_, name="gx", version=version, request=REQUEST, scenes=[], labels=[])
        row.prepared = prepared(**counts)
        session.add(row)
    return id_


def _claim(session: Any, job_id: str) -> claims.Claim:
    claim = claims.claim(session, job_id)
    assert claim is not None
    return claim


def make(services: Services, clock: Clock, text: str = "0 2 * * *", zone: str = "UTC", **more: Any) -> str:
    """Create a schedule at the time of `clock`, and return its id."""
    training = TrainingRequest(dataset="gx", register_as="cane", config=TrainConfig(epochs=1))
    fields = {"promote": GATE, "always": True} | more
    request = ScheduleRequest(name="nightly", cron=text, timezone=zone, training=training, **fields)
    with services.database.write() as session:
        return schedules.create(session, request, FRESH, clock).id


def patch(services: Services, change: SchedulePatch, if_match: IfMatch = ANY, clock: Clock | None = None) -> Schedule:
    with services.database.write() as session:
        return schedules.patch(session, "nightly", change, if_match, clock or Clock())


def delete(services: Services, if_match: IfMatch = ANY) -> None:
    with services.database.write() as session:
        schedules.delete(session, "nightly", if_match)


def train(
    services: Services,
    run: ScheduleRun,
    counts: tuple[tuple[int, int], tuple[int, int]],
    made_by: dict[str, str] | None = None,
) -> int:
    """End the training of a run as a worker does, and return the new version. counts: confusion matrix of the net."""
    assert run.training
    scored = Metrics.from_confusion(np.array(counts))
    header = CheckpointHeader(
        contract=CONTRACT, config=TrainConfig(), val=scored, test=scored, best_epoch=1, versions=made_by or {}
    )
    with services.database.write() as session:
        claims.succeed(session, _claim(session, run.training))
        row = trainings.get(session, run.training)
        stored = Stored(object="x", sha256="0" * 64, size_bytes=1)
        version = registry.register(session, "cane", header, stored, registry.Origin(row.id, row.dataset)).version
        row.version = version
    return version


def confusion(cane: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """A confusion matrix in which `cane` of 1000 pixels of cane are found, so that IoU and recall are cane / 1000."""
    return (1000, 0), (1000 - cane, cane)


def history(services: Services, id_: str = "nightly") -> list[ScheduleRun]:
    """All runs of a schedule, oldest first."""
    with services.database.read() as session:
        return list(schedule_runs.find(session, id_, limit=1000, token=None).rows)[::-1]


def champion(services: Services) -> int:
    with services.database.read() as session:
        return registry.get_alias(session, "cane", "champion").version


def test_each_night_of_a_month_has_one_run_with_a_verdict_despite_two_tickers(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock, "0 2 * * *", "Asia/Shanghai")
    tickers = [Ticker(services, clock) for _ in range(2)]
    best = 500
    expected: list[str] = []
    for night in range(31):
        for hour in range(24):
            clock.moment = START + timedelta(days=night, hours=hour)
            for ticker in tickers:
                ticker.tick()
            for run in history(services):
                if run.finished is None:
                    found = 500 + (night * 37) % 41
                    train(services, run, confusion(found))
                    better = not expected or found >= best + 5
                    expected.append("promoted" if better else "kept")
                    best = found if better else best
    done = history(services)
    assert [run.status for run in done] == expected
    assert {"promoted", "kept"} == set(expected)
    assert [run.due for run in done] == [START + timedelta(days=night, hours=18) for night in range(31)]
    assert {(run.trigger, run.missed) for run in done} == {("cron", 0)}
    last = next(run for run in reversed(done) if run.status == "promoted")
    assert last.verdict is not None
    assert champion(services) == last.verdict.candidate.version
    checks = {(check.rule, check.metric): check for check in last.verdict.checks}
    gain = checks["gain", "iou"]
    assert gain.value is not None and gain.candidate is not None and gain.champion is not None
    assert gain.value == pytest.approx(gain.candidate - gain.champion)
    assert gain.value >= gain.least == 0.005
    assert checks["guard", "recall"].least == -0.02
    with services.database.read() as session:
        moves = registry.history(session, "cane", "champion")
    assert len(moves) == expected.count("promoted"), "the first move is the registration of the first version"


def test_one_run_makes_up_for_an_outage_and_counts_the_missed_times(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    clock.moment = START + timedelta(days=10, hours=5)
    for _ in range(10):
        Ticker(services, clock).tick()
    (run,) = history(services)
    assert (run.trigger, run.missed, run.due) == ("catch_up", 10, START + timedelta(days=10, hours=2))
    with services.database.read() as session:
        assert schedules.get(session, "nightly").due == START + timedelta(days=11, hours=2)


def test_ten_ticks_at_the_same_time_make_one_run(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    clock.moment = START + timedelta(hours=2, seconds=1)
    threads = [threading.Thread(target=Ticker(services, clock).tick) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(run.status, run.trigger) for run in history(services)] == [("training", "cron")]
    with services.database.read() as session:
        assert len(lifecycle.by_id(session, [history(services)[0].training or ""])) == 1


def test_a_run_that_is_due_before_the_last_one_has_ended_is_skipped(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    for day in range(3):
        clock.moment = START + timedelta(days=day, hours=2)
        Ticker(services, clock).tick()
    first, *others = history(services)
    assert [run.status for run in (first, *others)] == ["training", "skipped", "skipped"]
    assert first.id in others[0].message
    with pytest.raises(Conflict, match="has not ended"):
        schedules.run(services, "nightly", FRESH)
    train(services, first, confusion(500))
    Ticker(services, clock).tick()
    assert history(services)[0].status == "promoted"


def test_for_the_first_version_only_the_floors_count(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock, promote=PromoteRequest(alias="live", floors={"iou": 0.6}, min_gain=0.1))
    found = []
    for day, cane in enumerate((550, 650, 700, 800)):
        clock.moment = START + timedelta(days=day, hours=2)
        Ticker(services, clock).tick()
        train(services, history(services)[-1], confusion(cane))
        Ticker(services, clock).tick()
        run = history(services)[-1]
        assert run.verdict is not None
        found.append((run.status, run.verdict.champion and run.verdict.champion.version))
    assert found == [("kept", None), ("promoted", None), ("kept", 2), ("promoted", 2)]


def test_when_a_guard_fails_the_alias_stays_and_the_guard_is_named(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock, promote=PromoteRequest(metric="precision", guards={"recall": -0.02}))
    for day, counts in enumerate((((900, 100), (200, 800)), ((1000, 0), (300, 700)))):
        clock.moment = START + timedelta(days=day, hours=2)
        Ticker(services, clock).tick()
        train(services, history(services)[-1], counts)
        Ticker(services, clock).tick()
    run = history(services)[-1]
    assert (run.status, run.message) == ("kept", "guard of recall: -0.1000 < -0.02")
    assert champion(services) == 1


def test_scores_of_unlike_devices_are_compared_with_a_word(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    for day, (cane, made_by) in enumerate([(500, {}), (600, {"score_device": GPU, "score_precision": "float32"})]):
        clock.moment = START + timedelta(days=day, hours=2)
        Ticker(services, clock).tick()
        train(services, history(services)[-1], confusion(cane), made_by)
        Ticker(services, clock).tick()
    assert history(services)[-1].message.endswith(f"of version 1; scored on {GPU} and on cpu, which round differently")


def test_scores_in_another_precision_are_not_compared_but_computed_anew(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    clock.moment = START + timedelta(hours=2)
    Ticker(services, clock).tick()
    older = {"device": GPU, "precision": "float32"}  # an older version scored in bfloat16 there, whatever it trained in
    number = train(services, history(services)[-1], confusion(500), older)
    with services.database.write() as session:
        version = registry.get(session, "cane", str(number))
        assert evaluations.known(session, version, dataset, "test") is None
        for software in (older, {"score_device": "cpu", "score_precision": "float32"}):
            assert evaluations.known(session, version, dataset, "test") is None
            id_ = evaluations.add(session, version, datasets.get(session, dataset), "test").id
            row = evaluations.get(session, id_)
            row.metrics, row.software = Metrics.from_confusion(np.array(confusion(400))), software
            claims.succeed(session, _claim(session, id_))
        score = evaluations.known(session, version, dataset, "test")
        assert score
        assert (score.device, score.metrics.iou) == ("cpu", 0.4)


@pytest.mark.parametrize("asked_by", ["gate", "model"])
def test_where_approval_is_asked_for_a_better_version_is_proposed_and_the_alias_stays(
    services: Services, dataset: str, asked_by: str
) -> None:
    clock = Clock()
    make(services, clock, promote=GATE.model_copy(update={"approval": asked_by == "gate"}))
    for cane in (500, 600):
        clock.moment += timedelta(days=1)
        Ticker(services, clock).tick()
        train(services, history(services)[-1], confusion(cane))
        if asked_by == "model":
            with services.database.write() as session:
                titles.change_model(session, "cane", ModelPatch(approval=True))
        Ticker(services, clock).tick()
    first, run = history(services)
    assert (first.status, run.status, champion(services)) == ("promoted", "proposed", 1)
    assert run.message.endswith("PUT /v1/models/cane/aliases/champion with version 2 approves it")
    assert run.verdict is not None and run.verdict.promote


def test_whoever_may_not_approve_cannot_take_the_question_away(services: Services, dataset: str) -> None:
    make(services, Clock(), promote=GATE.model_copy(update={"approval": True}))
    for change in (SchedulePatch(promote=None), SchedulePatch(promote=GATE)):
        with acting(Act("key 1", "PATCH")), pytest.raises(Forbidden, match="'nightly' asks for approval"):
            patch(services, change)
    with acting(Act("key 1", "PATCH")):
        patch(services, SchedulePatch(enabled=False))
    with acting(Act("key 2", "PATCH", ("approve",))):
        assert patch(services, SchedulePatch(promote=GATE)).promote == GATE


def test_a_new_version_is_compared_with_the_version_that_the_alias_points_at_now(
    services: Services, dataset: str
) -> None:
    """That is the version at the time of the verdict, not the version when the training began."""
    clock = Clock()
    make(services, clock)
    for day, cane in enumerate((500, 600)):
        clock.moment = START + timedelta(days=day, hours=2)
        Ticker(services, clock).tick()
        train(services, history(services)[-1], confusion(cane))
        Ticker(services, clock).tick()
    clock.moment = START + timedelta(days=2, hours=2)
    Ticker(services, clock).tick()
    train(services, history(services)[-1], confusion(550))
    with services.database.write() as session:
        registry.move_alias(session, "cane", "champion", 1, reason="by hand")
    Ticker(services, clock).tick()
    run = history(services)[-1]
    assert run.verdict is not None
    assert run.verdict.champion is not None
    assert (run.status, run.verdict.champion.version) == ("promoted", 1)
    with services.database.read() as session:
        assert registry.history(session, "cane", "champion")[-1].reason.startswith("schedule nightly: iou 0.5500")


def test_a_run_has_the_final_status_of_its_training(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    for day, error in enumerate((problem("diverged"), None)):
        clock.moment = START + timedelta(days=day, hours=2)
        Ticker(services, clock).tick()
        job_id = history(services)[-1].training or ""
        with services.database.write() as session:
            if error:
                claims.fail(session, _claim(session, job_id), error)
            else:
                lifecycle.dismiss(session, job_id)
        Ticker(services, clock).tick()
    assert [run.status for run in history(services)] == ["failed", "dismissed"]
    assert "diverged" in history(services)[0].message


def test_without_a_gate_each_run_registers_a_version_and_none_is_promoted(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock, promote=None)
    for day in range(2):
        clock.moment = START + timedelta(days=day, hours=2)
        Ticker(services, clock).tick()
        train(services, history(services)[-1], confusion(500 + 100 * day))
        Ticker(services, clock).tick()
    assert [run.status for run in history(services)] == ["trained", "trained"]
    assert champion(services) == 1


def test_a_run_fails_if_its_dataset_is_not_ready_when_it_is_due(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    newer = add_dataset(services, 2)
    with services.database.write() as session:
        session.get_one(Dataset, newer).prepared = prepared(other=1)
    clock.moment = START + timedelta(hours=2)
    Ticker(services, clock).tick()
    (run,) = history(services)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.errors[0].code == "one_class"


def test_a_disabled_schedule_has_no_runs_and_they_are_not_made_up_for(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    patch(services, SchedulePatch(enabled=False), clock=clock)
    clock.moment = START + timedelta(days=5, hours=4)
    Ticker(services, clock).tick()
    assert history(services) == []
    row = patch(services, SchedulePatch(enabled=True), clock=clock)
    Ticker(services, clock).tick()
    assert history(services) == []
    assert row.due == START + timedelta(days=6, hours=2)


def test_a_run_that_would_make_the_same_version_once_more_is_skipped(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock, always=False)
    ticker = Ticker(services, clock)
    clock.moment += timedelta(days=1)
    ticker.tick()
    train(services, history(services)[-1], confusion(700))
    ticker.tick()
    for _ in range(3):
        clock.moment += timedelta(days=1)
        ticker.tick()
        skipped = history(services)[-1]
        assert (skipped.status, skipped.training, skipped.finished) == ("skipped", None, clock.moment)
        assert skipped.message.startswith(
            f"nothing new: version 1 was trained on {dataset} with the same config by run "
        )


@pytest.mark.parametrize("new", ["dataset", "config", "gate", "version", "always", "failed", "by hand"])
def test_a_run_trains_when_something_is_new(services: Services, dataset: str, new: str) -> None:
    clock = Clock()
    make(services, clock, always=False)
    ticker = Ticker(services, clock)
    clock.moment += timedelta(days=1)
    ticker.tick()
    if new == "failed":
        with services.database.write() as session:
            job = history(services)[-1].training or ""
            claims.fail(session, _claim(session, job), problem("No good."))
    else:
        train(services, history(services)[-1], confusion(700))
    ticker.tick()
    other = TrainingRequest(dataset="gx", register_as="cane", config=TrainConfig(epochs=2))
    changes = {"config": {"training": other}, "gate": {"promote": None}, "always": {"always": True}}
    if new == "dataset":
        add_dataset(services, 2)
    elif new == "version":
        deletion.delete(services, Thing("model", "cane"))
    elif new in changes:
        patch(services, SchedulePatch.model_validate(changes[new]), clock=clock)
    if new == "by hand":
        schedules.run(services, "nightly", FRESH, clock)
    else:
        clock.moment += timedelta(days=1)
        ticker.tick()
    assert [(run.status, run.training is not None) for run in history(services)][-1] == ("training", True)


def test_a_disabled_schedule_can_be_run_by_hand(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock, enabled=False)
    once = IdempotentRequest("key", "body")
    first, again = (schedules.run(services, "nightly", once, clock) for _ in range(2))
    assert first.id == again.id
    assert (first.trigger, first.status) == ("manual", "training")


@pytest.mark.parametrize("zone", ["Factory", "localtime"])
def test_a_time_zone_that_depends_on_the_machine_is_refused(zone: str) -> None:
    assert [fault.code for fault in cron.faults("0 2 * * *", zone)] == ["unknown_timezone"]


def test_all_faults_are_named_at_once(services: Services, dataset: str) -> None:
    with pytest.raises(Invalid) as refused:
        make(services, Clock(), "0 2 30 2 *", "Asia/Shangai")
    faults = {fault.code: fault for fault in refused.value.faults}
    assert faults.keys() == {"bad_cron", "unknown_timezone"}
    assert faults["unknown_timezone"].hint == "Did you mean Asia/Shanghai?"
    training = TrainingRequest(dataset="rice")
    with services.database.write() as session, pytest.raises(Invalid) as refused:
        schedules.create(session, ScheduleRequest(name="x", cron="@daily", training=training), FRESH)
    assert [fault.pointer for fault in refused.value.faults] == ["/cron", "/training/dataset"]


def test_a_change_with_an_old_revision_is_refused(services: Services, dataset: str) -> None:
    make(services, Clock())
    with services.database.read() as session:
        first = IfMatch(frozenset({schedules.get(session, "nightly").tag}))
    second = patch(services, SchedulePatch(cron="0 3 * * *"), first)
    assert second.revision == 2
    with pytest.raises(PreconditionFailed):
        patch(services, SchedulePatch(cron="0 4 * * *"), first)
    with pytest.raises(PreconditionFailed):
        delete(services, first)
    third = patch(services, SchedulePatch(promote=None), IfMatch(frozenset({second.tag})))
    assert third.promote is None
    with pytest.raises(Conflict):
        make(services, Clock())
    delete(services, IfMatch(frozenset({third.tag})))


def test_the_training_of_a_deleted_schedule_ends_and_is_not_promoted(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    clock.moment = START + timedelta(hours=2)
    Ticker(services, clock).tick()
    (run,) = history(services)
    delete(services)
    assert train(services, run, confusion(500)) == 1
    Ticker(services, clock).tick()
    with services.database.read() as session:
        assert session.get(ScheduleRun, run.id) is None
        assert session.get(Schedule, "nightly") is None


def test_a_clock_that_was_set_back_makes_no_second_run(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    clock.moment = START + timedelta(hours=2)
    Ticker(services, clock).tick()
    clock.moment = START
    patch(services, SchedulePatch(enabled=True), clock=clock)
    clock.moment = START + timedelta(hours=2)
    Ticker(services, clock).tick()
    assert len(history(services)) == 1
    with services.database.read() as session:
        assert schedules.get(session, "nightly").due == START + timedelta(days=1, hours=2)


def local(text: str, *moments: datetime) -> list[str]:
    return [f"{cron.after(text, 'Europe/Berlin', moment):%d %H:%M}" for moment in moments]


def test_a_skipped_local_time_is_due_after_the_gap_and_a_repeated_one_only_once() -> None:
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert local("30 2 * * *", spring) == ["29 01:00"], "3:00 in Berlin, because 2:30 does not exist"
    assert local("30 2 * * *", autumn) == ["25 00:30"], "the first 2:30"
    for minutes in (0, 20, 59, 61):
        moment = datetime(2026, 10, 25, 0, 30, tzinfo=UTC) + timedelta(minutes=minutes)
        assert local("30 2 * * *", moment) == ["26 01:30"], "the second 2:30 does not count"
    assert local("30 * * * *", *(datetime(2026, 10, 25, hour, 31, tzinfo=UTC) for hour in (23 - 23, 1))) == [
        "25 01:30",
        "25 02:30",
    ], "an hourly schedule is due in each hour that passes"


@pytest.mark.parametrize("second", [0.0, 0.5, 59.5])
def test_no_time_counts_as_missed_before_it_has_passed(second: float) -> None:
    first = datetime(2026, 10, 1, 2, tzinfo=UTC)
    moment = datetime(2026, 10, 3, 1, 59, tzinfo=UTC) + timedelta(seconds=second)
    assert cron.missed("0 2 * * *", "UTC", first, moment) == cron.Missed(first + timedelta(days=1), 1)
    at = datetime(2026, 10, 3, 2, tzinfo=UTC)
    assert cron.missed("0 2 * * *", "UTC", first, at) == cron.Missed(at, 2)
    assert cron.missed("0 2 * * *", "UTC", first, first) == cron.Missed(first, 0)
    assert cron.missed("* * * * *", "UTC", first, first + timedelta(days=365)).earlier == 1000


def test_the_metrics_in_an_imported_bundle_are_not_trusted(services: Services, dataset: str) -> None:
    scored = Metrics.from_confusion(np.array(confusion(999)))
    header = CheckpointHeader(contract=CONTRACT, config=TrainConfig(), test=scored, best_epoch=1)
    with services.database.write() as session:
        stored = Stored(object="x", sha256="0" * 64, size_bytes=1)
        version = registry.register(session, "cane", header, stored, registry.Origin(None, dataset))
        assert evaluations.known(session, version, dataset, "test") is None


def test_a_changed_training_is_stored_completely(services: Services, dataset: str) -> None:
    clock = Clock()
    make(services, clock)
    change = SchedulePatch.model_validate({"training": {"dataset": "gx", "config": {"epochs": 3}}})
    with services.database.write() as session:
        schedules.patch(session, "nightly", change, ANY, clock)
    assert change.training is not None
    with services.database.read() as session:
        stored = session.execute(select(cast(Schedule.training, Text))).scalar_one()
        assert schedules.get(session, "nightly").training == change.training
    assert json.loads(stored) == change.training.model_dump(mode="json")
