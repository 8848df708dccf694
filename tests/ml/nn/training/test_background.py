"""Work in the background: of what waits only the newest is done, and nothing that fails is forgotten."""

import threading
from contextvars import ContextVar

import pytest

from ml.nn.training.background import Ahead, Newest

TENANT: ContextVar[str] = ContextVar("TENANT")


def test_of_the_work_that_waits_only_the_newest_is_done_and_nobody_waits_for_it() -> None:
    done: list[int] = []
    begun, may_end = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert may_end.wait(30)
        done.append(0)

    with Newest("test") as newest:
        newest.submit(first)
        assert begun.wait(30)
        for number in (1, 2, 3):
            newest.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        assert done == []
        may_end.set()
    assert done == [0, 3]


def test_work_has_the_context_of_its_starter() -> None:
    seen: list[str] = []
    TENANT.set("a province")
    with Newest("test") as newest:
        newest.submit(lambda: seen.append(TENANT.get()))
    assert seen == ["a province"]


def fail() -> None:
    raise OSError("no space left")


def test_a_failure_reaches_the_training() -> None:
    with Newest("test") as newest:
        newest.submit(fail)
        with pytest.raises(OSError, match="no space"):
            newest.finish()
    with pytest.raises(OSError, match="no space"), Newest("test") as newest:
        newest.submit(fail)


def test_a_failure_does_not_hide_why_the_training_ended() -> None:
    with pytest.raises(KeyError), Newest("test") as newest:
        newest.submit(fail)
        raise KeyError


def test_the_next_item_is_made_while_the_one_before_is_in_use() -> None:
    made, third = list[int](), threading.Event()

    def make(number: int) -> int:
        made.append(number)
        if number == 3:
            third.set()
        return 10 * number

    with Ahead(make) as ahead:
        assert ahead.take(2, 3) == 20
        assert third.wait(30)
        assert ahead.take(3, None) == 30
    assert made == [2, 3], "each is made once"
