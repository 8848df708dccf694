"""What nobody needs any more is deleted after its time, and nothing else; on both databases."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.core import tenancy
from app.core.columns import Base, now
from app.core.idempotency import IdempotencyKey
from app.jobs import claims, lifecycle
from app.services import Services
from app.storage import LocalStore
from app.storage.owners import owner_of
from app.tables import Job, JobLog, LabelSet, Worker
from app.upkeep import retention, scrubbing
from tests.app.documents import problem
from tests.app.upkeep.rows import label_set

OLD = now() - timedelta(days=40)


def with_days(services: Services, **days: float) -> Services:
    return replace(services, settings=services.settings.model_copy(update=days))


def count(services: Services, table: type[Base]) -> int:
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def failed_job(services: Services, job_id: str) -> None:
    """A job that failed a moment ago, with a line in its log."""
    with services.database.write() as session:
        lifecycle.create(session, job_id, "evaluation")
    with services.database.write() as session:
        claim = claims.claim(session, job_id)
        assert claim is not None
        claims.log(session, claim, [(now(), "a line")])
        claims.fail(session, claim, problem("No good."))


def test_logs_of_jobs_that_ended_long_ago_are_deleted(services: Services) -> None:
    for name in ("evl_old", "evl_new"):
        failed_job(services, name)
    with services.database.write() as session:
        session.get_one(Job, "evl_old").finished = OLD
    retention.sweep(with_days(services, keep_logs_d=0))
    assert count(services, JobLog) == 2, "0 keeps them for ever"
    retention.sweep(with_days(services, keep_logs_d=30))
    with services.database.read() as session:
        assert [line.job_id for line in session.scalars(select(JobLog))] == ["evl_new"]
    assert count(services, Job) == 2, "the jobs themselves stay"


@pytest.mark.parametrize("table", [IdempotencyKey, Worker])
def test_old_keys_and_dead_workers_are_deleted(services: Services, table: type[Base]) -> None:
    def row(name: str, at: object) -> Base:
        if table is Worker:
            return Worker(id=name, queues=["light"], seen=at)
        return IdempotencyKey(key=name, fingerprint="x", resource="y", created=at)

    with services.database.write() as session:
        session.add_all([row("old", OLD), row("new", now())])
    retention.sweep(services)
    assert count(services, table) == 1


def test_messages_that_nobody_takes_and_unfinished_uploads_are_deleted(services: Services) -> None:
    folder = services.settings.broker_dir
    folder.mkdir(parents=True, exist_ok=True)
    stale, fresh = folder / "1_a.light.msg", folder / "2_b.light.msg"
    upload = services.store.partial("a" * 32)
    assert upload is not None
    for path in (stale, fresh, upload):
        path.write_bytes(b"x")
    for path in (stale, upload):
        os.utime(path, (OLD.timestamp(), OLD.timestamp()))
    retention.sweep(services)
    assert [path.exists() for path in (stale, fresh, upload)] == [False, True, False]


def test_what_failed_long_ago_is_deleted_only_if_that_is_wanted(services: Services) -> None:
    failed_job(services, "evl_1")
    with services.database.write() as session:
        session.get_one(Job, "evl_1").finished = OLD
    retention.sweep(services)
    assert count(services, Job) == 1
    retention.sweep(with_days(services, keep_failed_d=60))
    assert count(services, Job) == 1


def test_only_files_that_no_row_names_are_orphans(services: Services, tmp_path: Path) -> None:
    assert isinstance(services.store, LocalStore)
    named = label_set(services, tmp_path, "plots")
    lost = tmp_path / "lost"
    lost.write_bytes(b"between put and insert")
    os.utime(lost, (OLD.timestamp(), OLD.timestamp()))  # an old file that is stored only now
    orphan = services.store.put(lost, "labels/gone/layer").object
    part = services.store.put(lost, "resume/trn_1/000001-resume.safetensors").object
    assert retention.orphans(services, now() - timedelta(days=1)) == [], "it may be recorded in a moment"
    for key in (named, orphan, part):
        os.utime(services.store.path(key), (OLD.timestamp(), OLD.timestamp()))
    assert [item.key for item in retention.orphans(services, now() - timedelta(days=1))] == [orphan]
    retention.sweep(services)
    assert services.store.path(orphan).exists(), "by default nothing is deleted"
    retention.sweep(with_days(services, keep_orphans_d=30))
    assert list(services.store.keys("")) == [named, part]
    assert count(services, LabelSet) == 1


def test_nothing_of_another_tenant_is_an_orphan(services: Services, tmp_path: Path) -> None:
    assert isinstance(services.store, LocalStore)
    with tenancy.acting_for("nanning"):
        key = label_set(services, tmp_path, "plots")
    assert key.startswith("labels/nanning@plots/") and owner_of(key) == "labels 'nanning/plots'"
    os.utime(services.store.path(key), (OLD.timestamp(), OLD.timestamp()))
    assert retention.orphans(services, now()) == []
    assert list(scrubbing.check_all(services)) == [(key, "")]


def test_what_failed_long_ago_is_deleted_for_every_tenant(services: Services) -> None:
    for tenant in ("local", "nanning"):
        with tenancy.acting_for(tenant):
            failed_job(services, "evl_1")
            with services.database.write() as session:
                session.get_one(Job, "evl_1").finished = OLD
    with tenancy.acting_for(tenancy.ALL):
        retention.sweep(with_days(services, keep_failed_d=30, keep_logs_d=30))
        assert count(services, JobLog) == 0


def test_a_rule_that_fails_keeps_no_other_from_its_work(services: Services, tmp_path: Path) -> None:
    with services.database.write() as session:
        session.add(Worker(id="old", queues=["light"], seen=OLD))
    folder = services.settings.broker_dir
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(folder.with_name("elsewhere"))
    folder.write_text("no folder")
    retention.sweep(with_days(services, keep_orphans_d=1))
    assert count(services, Worker) == 0
