"""A message is written exactly if what it tells has happened, for the webhooks of that tenant alone."""

import json
import threading
import time

import pytest

from app.core import tenancy
from app.core.db import Database
from app.core.errors import document
from app.jobs import claims, lifecycle
from app.jobs.sweep import Sweeper
from app.learning import registry
from app.requests.webhooks import WebhookPatch
from app.services import Services
from app.tables import Job, ModelVersion, Webhook
from app.webhooks import webhooks
from tests.app.documents import CONTRACT, UNSCORED
from tests.app.webhooks.conftest import OTHER, deliveries_of, end_jobs, register
from tests.app.webhooks.receivers import wait_until

URL = "http://127.0.0.1:9/"


@pytest.fixture
def database(services: Services) -> Database:
    return services.database


def told(database: Database, webhook: str) -> list[tuple[str, str, str]]:
    """Type of each message, and id and status of the job that it tells of."""
    bodies = [json.loads(row.body) for row in deliveries_of(database, webhook)]
    return [(body["type"], body["data"]["jobID"], body["data"]["status"]) for body in bodies]


def test_each_end_of_a_job_is_told_once(database: Database) -> None:
    webhook = register(database, URL)
    (done,) = end_jobs(database)
    with database.write() as session:
        for id_ in ("failed", "stopped", "never-begun"):
            lifecycle.create(session, id_, "prediction")
        claimed = [claims.claim(session, id_) for id_ in ("failed", "stopped")]
        assert claimed[0] and claimed[1]
        claims.fail(session, claimed[0], document(422, "bad", "Bad", "It is bad."))
        claims.dismissed(session, claimed[1])
        lifecycle.dismiss(session, "never-begun")
        lifecycle.dismiss(session, "never-begun")
    assert told(database, webhook) == [
        ("job.successful", done, "successful"),
        ("job.failed", "failed", "failed"),
        ("job.dismissed", "stopped", "dismissed"),
        ("job.dismissed", "never-begun", "dismissed"),
    ]
    error = json.loads(deliveries_of(database, webhook)[1].body)["data"]["error"]
    assert (error["type"], error["detail"]) == ("bad", "It is bad.")


def test_a_move_that_is_rolled_back_is_not_told(database: Database) -> None:
    webhook = register(database, URL)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        lifecycle.create(session, "lost", "prediction")
        lifecycle.dismiss(session, "lost")
        _ = 1 / 0
    with database.write() as session:
        lifecycle.create(session, "given-back", "prediction")
        claim = claims.claim(session, "given-back")
        assert claim
        claims.release(session, claim)
    assert told(database, webhook) == []


def test_a_job_whose_worker_is_lost_is_told_in_plain_ids(services: Services) -> None:
    settings = services.settings.model_copy(update={"max_failures": 1, "lease_s": 0.01, "sweep_s": 0.02})
    webhook = register(services.database, URL, tenant=OTHER)
    with tenancy.acting_for(OTHER), services.database.write() as session:
        lifecycle.create(session, "exp_1", "experiment")
        lifecycle.create(session, "trn_1", "training", parent="exp_1")
        assert claims.claim(session, "trn_1")
    sweeper = Sweeper(services.database, services.queue, settings)

    def ended() -> bool:
        with tenancy.acting_for(tenancy.ALL):
            sweeper.sweep()
        with tenancy.acting_for(OTHER):
            return bool(deliveries_of(services.database, webhook))

    wait_until(ended)
    with tenancy.acting_for(OTHER):
        (row,) = deliveries_of(services.database, webhook)
    data = json.loads(row.body)["data"]
    assert (data["jobID"], data["parent"], data["status"]) == ("trn_1", "exp_1", "failed")
    assert data["error"]["type"] == "worker-lost" and OTHER not in row.body
    assert [link["href"] for link in data["links"]] == ["/v1/jobs/trn_1", "/v1/trainings/trn_1"]


def test_a_part_is_not_told(database: Database) -> None:
    webhook = register(database, URL)
    with database.write() as session:
        lifecycle.create(session, "prd_1", "prediction")
        lifecycle.create(session, "prt_1", "part", parent="prd_1")
        lifecycle.dismiss(session, "prd_1")
    assert told(database, webhook) == [("job.dismissed", "prd_1", "dismissed")]


def test_only_webhooks_of_the_tenant_that_want_it_and_are_enabled_are_told(database: Database) -> None:
    wanted, every = register(database, URL, ["job.successful"]), register(database, URL)
    other, off = register(database, URL, ["job.failed"]), register(database, URL)
    foreign = register(database, URL, tenant=OTHER)
    with database.write() as session:
        webhooks.patch(session, off, WebhookPatch(enabled=False))
    end_jobs(database)
    assert [len(deliveries_of(database, id_)) for id_ in (wanted, every, other, off)] == [1, 1, 0, 0]
    first, second = (deliveries_of(database, id_)[0] for id_ in (wanted, every))
    assert first.event == second.event and first.id != second.id
    with tenancy.acting_for(OTHER):
        assert deliveries_of(database, foreign) == []


def test_a_moved_alias_is_told(database: Database) -> None:
    webhook = register(database, URL)
    with database.write() as session:
        for number in (1, 2):
            session.add(
                ModelVersion(
                    name="cane",
                    version=number,
                    metrics=UNSCORED,
                    contract=CONTRACT,
                    config={},
                    versions={},
                    object="key",
                    sha256="0" * 64,
                    size_bytes=1,
                )
            )
        session.flush()
        registry.move_alias(session, "cane", "night", 2, reason="better")
        registry.remove_alias(session, "cane", "night")
    bodies = [json.loads(row.body) for row in deliveries_of(database, webhook)]
    assert [body["type"] for body in bodies] == ["alias.moved", "alias.moved"]
    assert [(body["data"]["version"], body["data"]["reason"]) for body in bodies] == [(2, "better"), (None, "removed")]
    assert bodies[0]["data"]["links"] == [{"href": "/v1/models/cane", "rel": "related"}]


def test_a_webhook_that_is_deleted_meanwhile_does_not_undo_the_end_of_a_job(database: Database) -> None:
    webhook = register(database, URL)
    with database.write() as session:
        lifecycle.create(session, "prd_1", "prediction")

    def end() -> None:
        with database.write() as session:
            lifecycle.dismiss(session, "prd_1")

    ending = threading.Thread(target=end)
    with database.write() as session:
        webhooks.delete(session, webhook)
        session.flush()
        ending.start()
        time.sleep(0.5)  # it waits for this transaction; without the lock it would write to a webhook that is gone
    ending.join()
    with database.read() as session:
        assert session.get_one(Job, "prd_1").status == "dismissed"
        assert session.get(Webhook, webhook) is None
