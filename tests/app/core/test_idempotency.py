"""A request that is sent twice creates only one resource, on both databases."""

import threading

import pytest

from app.core.errors import Conflict, Invalid
from app.core.idempotency import FRESH, IdempotentRequest, forget
from app.jobs import lifecycle
from app.services import Services


def make(services: Services, once: IdempotentRequest, resource: str) -> str:
    with services.database.write() as session:
        if earlier := once.earlier(session, resource):
            return earlier
        return lifecycle.create(session, resource, "training").id


def test_the_same_key_and_body_return_the_first_resource_again(services: Services) -> None:
    once = IdempotentRequest("key", "body")
    assert make(services, once, "trn_1") == "trn_1"
    assert make(services, once, "trn_2") == "trn_1"


def test_the_same_key_with_another_body_is_refused(services: Services) -> None:
    make(services, IdempotentRequest("key", "body"), "trn_1")
    with pytest.raises(Invalid, match="another request"):
        make(services, IdempotentRequest("key", "other"), "trn_2")


def test_each_request_without_a_key_is_new(services: Services) -> None:
    assert make(services, FRESH, "trn_1") == "trn_1"
    assert make(services, FRESH, "trn_2") == "trn_2"


def test_a_refused_request_leaves_its_key_unused(services: Services) -> None:
    once = IdempotentRequest("key", "body")
    with pytest.raises(RuntimeError), services.database.write() as session:
        once.earlier(session, "trn_1")
        raise RuntimeError
    assert make(services, once, "trn_2") == "trn_2"


def test_fifty_requests_at_the_same_time_create_one_job(services: Services) -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(make(services, IdempotentRequest("key", "body"), f"trn_{n}")))
        for n in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 50
    assert len(set(made)) == 1


def test_a_key_does_not_answer_with_what_got_the_name_of_something_deleted(services: Services) -> None:
    first, second = (IdempotentRequest(key, "body") for key in ("first", "second"))
    with services.database.write() as session:
        assert first.earlier(session, "schedule/monthly") is None
        assert first.earlier(session, "schedule/monthly") == first.answered(session) == "monthly"
        forget(session, "schedule", ["monthly"])
        assert second.earlier(session, "schedule/monthly") is None
        with pytest.raises(Conflict, match="deleted since"):
            first.earlier(session, "schedule/monthly")
        assert second.earlier(session, "schedule/monthly") == "monthly"
