"""/v1/jobs: waiting for jobs, watching and dismissing them, on both databases."""

import json
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from app.jobs import claims, lifecycle
from app.services import Services
from ml.progress import Progress
from tests.app.documents import problem


@pytest.fixture
def job(services: Services) -> str:
    """The id of an accepted job."""
    with services.database.write() as session:
        return lifecycle.create(session, "trn_1", "training").id


def steps(services: Services, job_id: str) -> Iterator[str]:
    """Take a job from accepted to successful, one step for each item."""
    with services.database.write() as session:
        claim = claims.claim(session, job_id)
        assert claim
    yield "claimed"
    with services.database.write() as session:
        claims.beat(session, claim, Progress("train", 5, 10), 3.0)
    yield "half done"
    with services.database.write() as session:
        claims.succeed(session, claim)
    yield "done"


def finish_soon(services: Services, job_id: str) -> threading.Thread:
    def run() -> None:
        life = steps(services, job_id)
        for _ in range(3):
            time.sleep(0.7)
            next(life)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_job_is_an_ogc_status_info(http: httpx.Client, job: str) -> None:
    document = http.get(f"/v1/jobs/{job}").json()
    assert {"jobID": job, "type": "process", "processID": "training", "status": "accepted", "progress": 0}.items() <= (
        document.items()
    )
    assert {link["rel"] for link in document["links"]} >= {"self", "monitor"}


def test_a_long_poll_returns_as_soon_as_the_job_ends(http: httpx.Client, services: Services, job: str) -> None:
    thread = finish_soon(services, job)
    start = time.monotonic()
    document = http.get(f"/v1/jobs/{job}?wait=60").json()
    assert time.monotonic() - start < 30
    assert (document["status"], document["progress"]) == ("successful", 100)
    thread.join()


def test_a_long_poll_returns_after_its_time_although_the_job_continues(http: httpx.Client, job: str) -> None:
    assert http.get(f"/v1/jobs/{job}?wait=0.5").json()["status"] == "accepted"
    assert http.get(f"/v1/jobs/{job}?wait=61").status_code == 422


def test_events_report_every_change_and_resume_after_the_last_event_id(
    http: httpx.Client, services: Services, job: str
) -> None:
    life = steps(services, job)
    events = read_events(http, job, after_each=lambda: next(life, None))
    assert [event["event"] for event in events] == ["accepted", "running", "running", "successful"]
    assert json.loads(events[2]["data"])["done"] == 5
    again = read_events(http, job, {"Last-Event-ID": events[2]["id"]})
    assert [event["event"] for event in again] == ["successful"]


@pytest.mark.parametrize("later", [0, 1, 10**12])
def test_a_browser_that_has_all_events_is_told_not_to_ask_again(
    http: httpx.Client, services: Services, later: int
) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "trn_1", "training")
        revision = lifecycle.dismiss(session, "trn_1").revision
    url = "/v1/jobs/trn_1/events"
    last = read_events(http, "trn_1")[-1]
    assert last["id"] == str(revision)
    answer = http.get(url, headers={"Last-Event-ID": str(revision + later)})
    assert (answer.status_code, answer.content) == (204, b"")
    assert http.get(url, headers={"Last-Event-ID": str(revision - 1)}).status_code == 200


def test_events_of_an_unknown_job_are_not_found(http: httpx.Client) -> None:
    answer = http.get("/v1/jobs/trn_0/events")
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no job 'trn_0'.")


def read_events(
    http: httpx.Client,
    job: str,
    headers: dict[str, str] | None = None,
    after_each: Callable[[], object] = lambda: None,
) -> list[dict[str, str]]:
    events, fields = list[dict[str, str]](), dict[str, str]()
    with http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as response:
        for line in response.iter_lines():
            if ": " in line and not line.startswith(":"):
                name, value = line.split(": ", 1)
                fields[name] = value
            elif not line and "data" in fields:
                events.append(fields)
                fields = {}
                after_each()
    return events


def test_dismissing_ends_a_waiting_job_and_requests_the_end_of_a_running_one(
    http: httpx.Client, services: Services, job: str
) -> None:
    with services.database.write() as session:
        assert claims.claim(session, job)
    asked = http.delete(f"/v1/jobs/{job}").json()
    assert (asked["status"], asked["dismissal_requested"]) == ("running", True)
    with services.database.write() as session:
        lifecycle.create(session, "trn_2", "training")
    assert http.delete("/v1/jobs/trn_2").json()["status"] == "dismissed"
    assert http.delete("/v1/jobs/trn_2").status_code == 200
    assert http.delete("/v1/jobs/trn_3").status_code == 404


def test_a_job_that_ended_cannot_be_dismissed(http: httpx.Client, services: Services, job: str) -> None:
    with services.database.write() as session:
        claim = claims.claim(session, job)
        assert claim
        claims.fail(session, claim, problem("no cane"))
    assert http.delete(f"/v1/jobs/{job}").status_code == 409
    failed = http.get(f"/v1/jobs/{job}/results")
    assert (failed.status_code, failed.json()["detail"]) == (422, "no cane")


def test_results_are_not_ready_until_the_job_has_succeeded(http: httpx.Client, services: Services, job: str) -> None:
    assert http.get(f"/v1/jobs/{job}/results").json()["type"] == "result-not-ready"
    finish_soon(services, job).join()
    assert http.get(f"/v1/jobs/{job}/results").json()["training"]["href"].endswith(f"/v1/trainings/{job}")


def test_jobs_are_listed_by_status_and_kind(http: httpx.Client, services: Services, job: str) -> None:
    with services.database.write() as session:
        lifecycle.create(session, "gx:1", "dataset")

    def listed(query: str) -> list[str]:
        return [item["jobID"] for item in http.get(f"/v1/jobs?{query}").json()["items"]]

    assert listed("") == ["gx:1", "trn_1"]
    assert listed("processID=training") == ["trn_1"]
    assert listed("status=running") == []


def test_readiness_names_the_component_that_fails(http: httpx.Client) -> None:
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert {fault["code"] for fault in answer.json()["errors"]} == {"no_worker"}
    assert http.get("/healthz").status_code == 200


def test_metrics_count_jobs_and_requests(http: httpx.Client, job: str) -> None:
    http.get(f"/v1/jobs/{job}")
    text = http.get("/metrics").text
    assert 'canemap_jobs{kind="training",status="accepted"} 1.0' in text
    assert 'canemap_request_seconds_count{method="GET",route="/v1/jobs/{id}",status="200"}' in text
