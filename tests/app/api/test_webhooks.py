"""Webhooks over HTTP: registered, told of events by a running service, tried, redelivered, changed and deleted."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from app.core.db import Database
from app.settings import Settings
from app.webhooks import deliverer
from app.webhooks.webhooks import MOST
from tests.app.api.test_problems import assert_problem
from tests.app.webhooks.conftest import end_jobs, with_loopback
from tests.app.webhooks.receivers import answer, receiving, wait_until

URL = "https://[2400:3200::1]/canemap"


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(deliverer, "POLL_S", 0.02)
    return with_loopback(settings)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    yield database
    database.close()


def create(http: httpx.Client, url: str = URL, **more: Any) -> dict[str, Any]:
    made = http.post("/v1/webhooks", json={"url": url, **more})
    assert made.status_code == 201, made.text
    document: dict[str, Any] = made.json()
    assert made.headers["location"] == f"/v1/webhooks/{document['id']}"
    assert made.headers["cache-control"] == "no-store"
    return document


def deliveries(http: httpx.Client, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = http.get(f"/v1/webhooks/{webhook['id']}/deliveries").json()["items"]
    return items


def until_ended(http: httpx.Client, webhook: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
    wait_until(lambda: sum(item["ended"] is not None for item in deliveries(http, webhook)) >= count)
    return deliveries(http, webhook)


def test_a_secret_is_shown_once_and_is_in_no_other_answer_and_in_no_log(
    http: httpx.Client, database: Database, log: io.StringIO
) -> None:
    with receiving(answer(500), answer(204)) as receiver:
        made = create(http, receiver.url, title="门户", events=["job.successful"])
        secrets = [made["secret"]]
        assert secrets[0].startswith("whsec_") and made["enabled"] and made["title"] == "门户"
        turned = http.post(f"/v1/webhooks/{made['id']}/rotate", json={"overlap": "1h"}).json()
        secrets.append(turned["secret"])
        end_jobs(database)
        until_ended(http, made)
    url = f"/v1/webhooks/{made['id']}"
    said = [http.get(path).text for path in (url, "/v1/webhooks", f"{url}/deliveries", "/metrics", "/openapi.json")]
    said += [http.post("/v1/webhooks", json={"url": "x", "secret": secrets[0]}).text.replace(secrets[0], "", 1)]
    assert url in log.getvalue()
    said += [log.getvalue()]
    for secret in secrets:
        assert not [text for text in said if secret.removeprefix("whsec_")[:20] in text]


def test_a_message_is_signed_with_both_secrets_while_they_overlap(http: httpx.Client, database: Database) -> None:
    with receiving() as receiver:
        old = create(http, receiver.url)
        new = http.post(f"/v1/webhooks/{old['id']}/rotate", json={"overlap": "1h"}).json()
        newest = http.post(f"/v1/webhooks/{old['id']}/rotate").json()
        assert old["old_secret_until"] is None and new["old_secret_until"] < newest["old_secret_until"]
        end_jobs(database)
        (got,) = receiver.wait_for(1)
    for document in (new, newest):
        Verifier(document["secret"]).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(old["secret"]).verify(got.body, got.headers)


def test_a_test_message_is_delivered_and_can_be_sent_again(http: httpx.Client) -> None:
    with receiving() as receiver:
        made = create(http, receiver.url)
        url, once = f"/v1/webhooks/{made['id']}", {"Idempotency-Key": "k"}
        first, again = (http.post(f"{url}/test", headers=once) for _ in range(2))
        assert first.status_code == 201 and first.json()["id"] == again.json()["id"]
        assert first.headers["location"] == f"{url}/deliveries/{first.json()['id']}"
        (done,) = until_ended(http, made)
        assert (done["type"], done["status"], done["attempts"][0]["status_code"]) == ("webhook.test", "delivered", 204)
        assert done == http.get(first.headers["location"]).json()
        resent = [http.post(f"{url}/deliveries/{done['id']}/redeliver", headers=once | {"x": "1"}) for _ in range(2)]
        assert [each.status_code for each in resent] == [422, 422], "the key was used for another request"
        for _ in range(2):
            answered = http.post(f"{url}/deliveries/{done['id']}/redeliver", headers={"Idempotency-Key": "l"})
            assert answered.status_code == 201
        receiver.wait_for(2)
        (done,) = until_ended(http, made)
        assert [each["attempt"] for each in done["attempts"]] == [1, 2]
        assert [got.id for got in receiver.received] == [done["event"]] * 2
        assert receiver.received[0].body == receiver.received[1].body == done["body"]


def test_a_change_needs_the_state_that_was_read(http: httpx.Client) -> None:
    url = f"/v1/webhooks/{create(http, title='x', events=['alias.moved'])['id']}"
    tag = http.get(url).headers["etag"]
    changed = http.patch(url, json={"enabled": False, "events": None, "title": None}, headers={"If-Match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag
    document = changed.json()
    assert (document["enabled"], document["events"], document["title"]) == (False, None, None)
    assert document["why"] == "It was disabled on request." and document["url"] == URL
    assert "停用" in http.get(url, headers={"Accept-Language": "zh"}).json()["why"]
    assert_problem(http.patch(url, json={"enabled": True}, headers={"If-Match": tag}), 412)
    assert assert_problem(http.post(f"{url}/test"), 409)["type"] == "webhook-disabled"
    assert http.patch(url, json={"enabled": True}).json()["why"] is None
    assert http.delete(url).status_code == 204
    assert http.get(url).status_code == http.get(f"{url}/deliveries").status_code == 404


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"url": "https://127.1/"}, "invalid_url", "/url"),
    ({"url": "https://user:pass@portal.example.org/"}, "invalid_url", "/url"),
    ({"url": "https://169.254.169.254/latest/meta-data"}, "forbidden_address", "/url"),
    ({"url": "http://8.8.8.8/"}, "forbidden_address", "/url"),
    ({"url": URL, "events": []}, "too_short", "/events"),
    ({"url": URL, "events": ["job.lost"]}, "literal_error", "/events/0"),
    ({"url": URL, "secret": "whsec_mine"}, "extra_forbidden", "/secret"),
]


def test_a_wrong_webhook_is_refused_with_what_to_do(http: httpx.Client) -> None:
    made = f"/v1/webhooks/{create(http)['id']}"
    for body, code, pointer in WRONG:
        for method, path in (("POST", "/v1/webhooks"), ("PATCH", made)):
            fault = assert_problem(http.request(method, path, json=body), 422)["errors"][0]
            assert (fault["code"], fault["pointer"]) == (code, pointer) and fault["hint"], (method, body)
    assert [each["url"] for each in http.get("/v1/webhooks").json()["items"]] == [URL]


def test_the_same_request_registers_one_webhook_and_shows_its_secret_once(http: httpx.Client) -> None:
    first, again = (http.post("/v1/webhooks", json={"url": URL}, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.status_code == 201
    assert assert_problem(again, 409)["type"] == "secret-shown" and first.json()["id"] in again.text
    assert len(http.get("/v1/webhooks").json()["items"]) == 1


def test_a_tenant_has_a_bounded_number_of_webhooks(http: httpx.Client) -> None:
    for _ in range(MOST):
        create(http)
    assert assert_problem(http.post("/v1/webhooks", json={"url": URL}), 409)["type"] == "too-many-webhooks"
