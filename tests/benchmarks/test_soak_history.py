"""The history checker accepts what is promised and rejects every broken history."""

from dataclasses import replace

import pytest

from benchmarks.soak.history import Event, Order, Row, Told, untold, violations

JOB = "prd_1"
SUM = {"classes.tif": ("ab", "ab")}
RESULT = Event(5, JOB, "result")


def life(*statuses: str, failures: int = 0) -> list[Event]:
    """Events of a job that is created and then moved to `statuses`; returns count as failures, at most `failures`."""
    events, attempt, failed = [Event(0, JOB, "created", "accepted")], 0, 0
    for at, status in enumerate(statuses, 1):
        attempt += status == "running"
        failed = min(failures, failed + (status in ("accepted", "failed")))
        events.append(Event(at, JOB, "moved", status, attempt, failed))
    return events


def row_of(events: list[Event], error: str | None = None) -> Row:
    return Row(events[-1].status, events[-1].attempt, events[-1].failures, error)


GOOD = life("running", "successful")
DONE = Order("k1", [JOB], seen="successful", products=SUM)


def check(order: Order, events: list[Event], row: Row | None) -> list[str]:
    return violations([order], events, {JOB: row} if row else {})


def test_a_quiet_life_is_accepted() -> None:
    assert check(DONE, [*GOOD, RESULT], row_of(GOOD)) == []


def test_a_job_that_lost_a_worker_and_was_given_back_is_accepted() -> None:
    events = life("running", "accepted", "running", "accepted", "running", "successful", failures=1)
    assert check(DONE, [*events, RESULT], row_of(events)) == []


def test_a_repeated_order_with_one_job_is_accepted() -> None:
    assert check(replace(DONE, ids=[JOB, JOB]), [*GOOD, RESULT], row_of(GOOD)) == []


@pytest.mark.parametrize("statuses", [("dismissed",), ("running", "dismissed")])
def test_a_dismissed_job_without_result_is_accepted(statuses: tuple[str, ...]) -> None:
    events = life(*statuses)
    assert check(Order("k1", [JOB], dismissed=True, seen="dismissed"), events, row_of(events)) == []


def test_a_job_whose_workers_died_too_often_is_accepted() -> None:
    events = life("running", "accepted", "running", "failed", failures=2)
    assert check(Order("k1", [JOB], seen="failed"), events, row_of(events, "worker-lost")) == []


def test_the_same_order_with_another_result_is_rejected() -> None:
    other = "prd_2"
    second = Order("k2", [other], seen="successful", products={"/v1/predictions/prd_2/classes.tif": ("cd", "cd")})
    events = [*GOOD, RESULT, *(replace(event, job=other) for event in (*GOOD, RESULT))]
    found = violations([DONE, second], events, {JOB: row_of(GOOD), other: row_of(GOOD)})
    assert found == ["classes.tif should be the same for all, but there are {'ab': 1, 'cd': 1}"]


BROKEN_LIVES = {
    "never created": [RESULT],
    "created twice": [GOOD[0], *GOOD, RESULT],
    "created as running": [replace(GOOD[0], status="running"), *GOOD[1:], RESULT],
    "deleted": [*GOOD, RESULT, Event(9, JOB, "deleted", "successful", 1)],
    "never ended": life("running"),
    "given back and forgotten": life("running", "accepted"),
    "done without being claimed": [*life("successful"), RESULT],
    "claimed twice at once": [*life("running", "running", "successful"), RESULT],
    "claimed after its end": [*life("running", "successful", "running", "successful"), RESULT],
    "moved after its end": [*life("running", "dismissed", "accepted", "running", "successful"), RESULT],
    "claimed without a new attempt": [GOOD[0], replace(GOOD[1], attempt=0), replace(GOOD[2], attempt=0), RESULT],
    "an attempt that no claim made": [*GOOD[:2], replace(GOOD[2], attempt=2), RESULT],
    "two deaths in one move": [*GOOD[:2], replace(GOOD[2], failures=2), RESULT],
    "a death in a claim": [GOOD[0], replace(GOOD[1], failures=1), replace(GOOD[2], failures=1), RESULT],
    "no result": GOOD,
    "two results": [*GOOD, RESULT, RESULT],
}


@pytest.mark.parametrize("name", BROKEN_LIVES)
def test_a_broken_life_is_rejected(name: str) -> None:
    events = BROKEN_LIVES[name]
    last = [event for event in events if event.what != "result"][-1:] or [GOOD[-1]]
    assert check(DONE, events, row_of(last)) != []


def test_a_row_that_moved_unseen_is_rejected() -> None:
    assert check(DONE, [*GOOD, RESULT], Row("failed", 1, 0, "worker-lost")) != []


def test_a_result_of_a_dismissed_job_is_rejected() -> None:
    events = life("running", "dismissed")
    order = Order("k1", [JOB], dismissed=True, seen="dismissed")
    assert check(order, [*events, RESULT], row_of(events)) != []
    assert check(replace(order, products=SUM), events, row_of(events)) != []


def test_a_failure_that_no_death_explains_is_rejected() -> None:
    events = life("running", "failed")
    assert check(Order("k1", [JOB], seen="failed"), events, row_of(events, "internal-error")) != []


def test_a_dismissal_that_nobody_asked_for_is_rejected() -> None:
    events = life("dismissed")
    assert check(Order("k1", [JOB], seen="dismissed"), events, row_of(events)) != []


BROKEN_ORDERS = {
    "lost": ([replace(DONE, ids=[JOB, "prd_2"])], "lost"),
    "two jobs of one key": ([replace(DONE, ids=[JOB, "prd_2"])], "Idempotency-Key"),
    "one job of two keys": ([DONE, replace(DONE, key="k2")], "2 orders"),
    "a job of no order": ([], "nobody ordered"),
    "never acknowledged": ([DONE, Order("k2")], "never acknowledged"),
    "told another end": ([replace(DONE, seen="dismissed")], "was told"),
    "no product": ([replace(DONE, products={})], "0 products"),
    "damaged product": ([replace(DONE, products={"classes.tif": ("ab", "cd")})], "sha256"),
}


@pytest.mark.parametrize("name", BROKEN_ORDERS)
def test_a_broken_promise_is_rejected(name: str) -> None:
    orders, words = BROKEN_ORDERS[name]
    assert any(words in fault for fault in violations(orders, [*GOOD, RESULT], {JOB: row_of(GOOD)}))


MESSAGE = Told(2, JOB, "successful", "evt_1")


def test_a_message_that_came_twice_with_one_id_is_accepted() -> None:
    assert untold({JOB: row_of(GOOD)}, [MESSAGE, replace(MESSAGE, at=3)]) == []


BROKEN_MESSAGES = {
    "lost": ([], "lost"),
    "two ids": ([MESSAGE, replace(MESSAGE, event="evt_2")], "several events"),
    "another status": ([replace(MESSAGE, status="failed")], "was told failed"),
    "an unknown job": ([MESSAGE, replace(MESSAGE, job="prd_2")], "prd_2: the receiver was told"),
}


@pytest.mark.parametrize("name", BROKEN_MESSAGES)
def test_a_message_that_is_lost_or_untrue_is_rejected(name: str) -> None:
    told, words = BROKEN_MESSAGES[name]
    (fault,) = untold({JOB: row_of(GOOD)}, told)
    assert words in fault
