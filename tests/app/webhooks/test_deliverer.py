"""Messages reach real receivers, whatever these do, and whatever becomes of whoever sends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta

import pytest
from standardwebhooks import Webhook as Verifier

from app.core import tenancy
from app.core.columns import now
from app.core.db import Database
from app.core.idempotency import FRESH
from app.requests.webhooks import WebhookPatch
from app.services import Services
from app.settings import Settings
from app.tables import Delivery
from app.upkeep import retention
from app.webhooks import deliverer, deliveries, webhooks
from app.webhooks.sending import Answer
from tests.app.webhooks.conftest import (
    OTHER,
    deliveries_of,
    delivering,
    end_jobs,
    register,
    until_ended,
    webhook_of,
)
from tests.app.webhooks.receivers import (
    answer,
    drip,
    endless_headers,
    flood,
    hang,
    hang_up,
    receiving,
    wait_until,
)


@pytest.fixture
def database(services: Services) -> Database:
    return services.database


def test_the_end_of_a_job_is_delivered_signed(database: Database, settings: Settings) -> None:
    with receiving() as receiver, delivering(settings):
        webhook = register(database, receiver.url)
        (job,) = end_jobs(database)
        (row,) = until_ended(database, webhook)
        (got,) = receiver.received
    secret = webhook_of(database, webhook).secret
    message = Verifier(secret).verify(got.body, got.headers)
    assert (message["type"], message["data"]["jobID"]) == ("job.successful", job)
    assert got.path == "/hooks?for=canemap" and got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json" and got.headers["user-agent"].startswith("canemap/")
    assert (row.status, row.attempt, got.id) == ("delivered", 1, row.event)
    assert [(each.status_code, each.detail) for each in row.attempts] == [(204, "")]


def test_a_message_of_another_tenant_is_delivered_too(database: Database, settings: Settings) -> None:
    with receiving() as receiver, delivering(settings):
        register(database, receiver.url, tenant=OTHER)
        (job,) = end_jobs(database, tenant=OTHER)
        (got,) = receiver.wait_for(1)
    assert json.loads(got.body)["data"]["jobID"] == job and OTHER not in got.body


def test_what_was_not_accepted_is_sent_again_as_it_was(database: Database, settings: Settings) -> None:
    with receiving(answer(500), hang_up, answer(200)) as receiver, delivering(settings):
        webhook = register(database, receiver.url)
        end_jobs(database)
        (row,) = until_ended(database, webhook)
        got = receiver.received
    assert (row.status, [each.status_code for each in row.attempts]) == ("delivered", [500, None, 200])
    assert len({(each.id, each.body) for each in got}) == 1 and len(got) == 3
    assert row.attempts[0].detail == "The receiver answered 500."
    assert webhook_of(database, webhook).failing_since is None


BEHAVIOURS = {
    "hang": (hang, None, "The receiver did not answer within 1 s."),
    "drip": (drip, None, "The receiver did not answer within 1 s."),
    "hang up": (hang_up, None, "The receiver closed the connection without an answer of HTTP."),
    "endless headers": (endless_headers, None, "The receiver closed the connection without an answer of HTTP."),
    "redirect": (answer(302, Location="/elsewhere"), 302, "The receiver answered 302: redirects are not followed."),
    "permanent": (answer(308, Location="/elsewhere"), 308, "The receiver answered 308: redirects are not followed."),
    "refusal": (answer(404), 404, "The receiver answered 404."),
    "huge body": (flood, 200, ""),
    "accepted": (answer(202), 202, ""),
}


def test_no_receiver_can_hold_or_mislead_the_sender(settings_on_sqlite: Settings) -> None:
    settings = settings_on_sqlite.model_copy(update={"webhook_pauses_s": "1000"})
    database = Database(settings.database)
    with delivering(settings):
        for name, (behaviour, code, detail) in BEHAVIOURS.items():
            with receiving(behaviour) as receiver:
                webhook = register(database, receiver.url)
                end_jobs(database)
                wait_until(lambda webhook=webhook: deliveries_of(database, webhook)[0].attempts)  # type: ignore[misc]
                (row,) = deliveries_of(database, webhook)
                (attempt,) = row.attempts
                assert (attempt.status_code, attempt.detail) == (code, detail), name
                assert len(receiver.received) == 1 and attempt.seconds < 5, name
            with database.write() as session:
                webhooks.delete(session, webhook)
    database.close()


def test_a_receiver_that_is_not_there_is_told_so(settings_on_sqlite: Settings) -> None:
    settings = settings_on_sqlite
    database = Database(settings.database)
    with receiving() as gone:
        url = gone.url
    with delivering(settings):
        webhook = register(database, url)
        end_jobs(database)
        (row,) = until_ended(database, webhook)
    assert {each.detail for each in row.attempts} == {"No connection to the receiver could be made."}
    database.close()


def test_receivers_that_hang_do_not_keep_others_waiting(database: Database, settings: Settings) -> None:
    with receiving(hang) as slow, receiving() as quick, delivering(settings):
        for _ in range(4):
            register(database, slow.url)
        good = register(database, quick.url)
        end_jobs(database, 12)
        until_ended(database, good, 12)
        assert len(slow.received) <= deliverer.AT_ONCE * 4, "most of theirs waits"
    assert {row.status for row in deliveries_of(database, good)} == {"delivered"}


def test_several_apis_make_each_attempt_once(database: Database, settings: Settings) -> None:
    patient = settings.model_copy(update={"webhook_timeout_s": 60.0})  # an answer that comes late is asked for again
    with receiving(answer(503), answer(200)) as receiver, delivering(patient, loops=3):
        webhook = register(database, receiver.url)
        end_jobs(database, 40)
        rows = until_ended(database, webhook, 40)
    assert {row.status for row in rows} == {"delivered"}
    assert sum(row.attempt for row in rows) == len(receiver.received) == 41, "one was refused once"
    assert set(Counter(got.id for got in receiver.received)) == {row.event for row in rows}


KILLED = """
import sys, threading
from app.core import tenancy
from app.core.db import Database
from app.settings import Settings
from app.webhooks.deliverer import Deliverer
settings = Settings(data_dir=sys.argv[1])
with tenancy.acting_for(tenancy.ALL):
    Deliverer(Database(settings.database), settings).run(threading.Event())
"""


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_process_that_is_killed_before_it_has_recorded_loses_nothing(database: Database, settings: Settings) -> None:
    environment = os.environ | {
        "CANEMAP_DATABASE_URL": settings.database,
        "CANEMAP_WEBHOOK_NETWORKS": settings.webhook_networks,
        "CANEMAP_WEBHOOK_TIMEOUT_S": "1",
    }
    with receiving(hang, answer(200)) as receiver:
        webhook = register(database, receiver.url)
        end_jobs(database)
        command = [sys.executable, "-c", KILLED, str(settings.data_dir)]
        with subprocess.Popen(command, env=environment) as process:
            receiver.wait_for(1)
            process.send_signal(signal.SIGKILL)
        assert deliveries_of(database, webhook)[0].status == "sending"
        with delivering(settings):
            (row,) = until_ended(database, webhook)
    assert (row.status, row.attempt, len(row.attempts)) == ("delivered", 2, 1)
    assert [got.id for got in receiver.received] == [row.event, row.event]


def test_who_stops_while_it_sends_gives_the_message_back(database: Database, settings: Settings) -> None:
    patient = settings.model_copy(update={"webhook_timeout_s": 60.0})
    with receiving(hang) as receiver:
        webhook = register(database, receiver.url)
        end_jobs(database)
        start = time.monotonic()
        with delivering(patient):
            receiver.wait_for(1)
        assert time.monotonic() - start < 20, "it did not wait for the receiver"
        (row,) = deliveries_of(database, webhook)
    assert (row.status, row.tries, row.attempts) == ("pending", 0, [])


def test_a_claim_that_was_lost_records_nothing(database: Database) -> None:
    webhook = register(database, "http://127.0.0.1:9/")
    end_jobs(database)

    def claim(later: float) -> list[deliveries.Claim]:
        moment = now() + timedelta(seconds=later)
        with tenancy.acting_for(tenancy.ALL), database.write() as session:
            return deliveries.claim(session, moment, timedelta(seconds=30), of_webhook=webhook, most=9)

    (lost,), early, (mine,) = claim(0), claim(29), claim(31)
    assert early == [] and (lost.attempt, mine.attempt) == (1, 2)
    done = Answer(now(), 0.1, 200, "")
    for each, status in ((lost, "sending"), (mine, "delivered"), (lost, "delivered")):
        with tenancy.acting_for(tenancy.ALL), database.write() as session:
            deliveries.record(session, each, done, (1,))
        (row,) = deliveries_of(database, webhook)
        assert row.status == status
    assert [each.attempt for each in row.attempts] == [2]


def test_a_receiver_that_is_gone_disables_its_webhook(database: Database, settings: Settings) -> None:
    with receiving(answer(410), answer(200)) as receiver, delivering(settings):
        webhook = register(database, receiver.url)
        end_jobs(database)
        (row,) = until_ended(database, webhook)
        disabled = webhook_of(database, webhook).disabled
        assert row.status == "failed" and disabled and "410" in disabled
        end_jobs(database)  # of this nobody is told
        assert len(deliveries_of(database, webhook)) == 1
        with database.write() as session:
            webhooks.patch(session, webhook, WebhookPatch(enabled=True))
            webhooks.test(session, webhook, FRESH)
        rows = until_ended(database, webhook, 2)
    assert [(row.type, row.status) for row in rows] == [("job.successful", "failed"), ("webhook.test", "delivered")]


def test_a_receiver_that_fails_for_long_disables_its_webhook_and_what_waits_is_kept(
    database: Database, settings: Settings
) -> None:
    with receiving(answer(500)) as receiver:
        webhook = register(database, receiver.url)
        with delivering(settings):
            end_jobs(database)
            (row,) = until_ended(database, webhook)
        assert (row.status, len(row.attempts)) == ("failed", 3)
        disabled = webhook_of(database, webhook).disabled
        assert disabled == deliveries.FAILED_LONG
        with database.write() as session:
            webhooks.patch(session, webhook, WebhookPatch(enabled=True))
        end_jobs(database)
        with database.write() as session:
            webhooks.patch(session, webhook, WebhookPatch(enabled=False))
        with delivering(settings):
            time.sleep(0.3)
            assert [row.due for row in deliveries_of(database, webhook)] == [None, None]
            receiver.behaviours[:] = [answer(200)]
            with database.write() as session:
                webhooks.patch(session, webhook, WebhookPatch(enabled=True))
            rows = until_ended(database, webhook, 2)
    assert [row.status for row in rows] == ["failed", "delivered"]


def test_one_failure_among_successes_disables_nothing(database: Database, settings: Settings) -> None:
    webhook = register(database, "http://127.0.0.1:9/")
    end_jobs(database, 2)
    bad, good = deliveries_of(database, webhook)
    for tries in range(1, 4):
        for row, code in ((bad, 500), (good, 200)):
            with tenancy.acting_for(tenancy.ALL), database.write() as session:
                changed = session.get_one(Delivery, row.id)
                changed.status, changed.tries, changed.attempt = "sending", tries, tries
            claim = deliveries.Claim(row.id, webhook, tries, "", (), row.event, row.body, False)
            said = Answer(now(), 0, code, "" if code == 200 else "No.")
            with tenancy.acting_for(tenancy.ALL), database.write() as session:
                deliveries.record(session, claim, said, (1, 1))
    assert [row.status for row in deliveries_of(database, webhook)] == ["failed", "delivered"]
    assert webhook_of(database, webhook).disabled is None


def test_pauses_grow_as_the_settings_say(database: Database, settings: Settings) -> None:
    webhook, pauses = register(database, "http://127.0.0.1:9/"), Settings().pauses_of_webhooks
    assert list(pauses) == sorted(pauses) and len(pauses) == 9 and sum(pauses) > 3 * 86400
    end_jobs(database)
    for tries, pause_s in enumerate(pauses, 1):
        with tenancy.acting_for(tenancy.ALL), database.write() as session:
            moment = now() + timedelta(days=30)
            (claim,) = deliveries.claim(session, moment, timedelta(seconds=30), of_webhook=webhook, most=1)
            deliveries.record(session, claim, Answer(now(), 0, 500, "No."), pauses)
        (row,) = deliveries_of(database, webhook)
        assert row.due and row.tries == tries
        assert 0.99 * pause_s <= (row.due - now()).total_seconds() <= 1.2 * pause_s


def test_deliveries_that_have_ended_are_deleted_after_some_time(services: Services, settings: Settings) -> None:
    database = services.database
    webhook = register(database, "http://127.0.0.1:9/")
    end_jobs(database, 3)
    old, new, waits = deliveries_of(database, webhook)
    with tenancy.acting_for(tenancy.ALL), database.write() as session:
        for row, days in ((old, 31), (new, 29)):
            session.get_one(Delivery, row.id).ended = now() - timedelta(days=days)
        session.get_one(Delivery, waits.id).created = now() - timedelta(days=99)
    with tenancy.acting_for(tenancy.ALL):
        retention.sweep(services)
    assert {row.id for row in deliveries_of(database, webhook)} == {new.id, waits.id}
