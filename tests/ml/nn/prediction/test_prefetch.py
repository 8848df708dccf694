"""Prefetched results are the same, in the same order and limited in number, and no thread is left running."""

import threading
from collections.abc import Iterator

import pytest

from ml.nn.prediction.prefetch import prefetched
from ml.progress import Stopped


def prefetch_threads() -> int:
    return sum(thread.name.startswith("prefetch") for thread in threading.enumerate())


def test_results_come_in_order_even_if_a_later_one_is_ready_first() -> None:
    second_done = threading.Event()

    def make(item: int) -> int:
        if item == 0:
            assert second_done.wait(20)
        if item == 1:
            second_done.set()
        return item * item

    with prefetched(make, range(50), ahead=3, threads=2) as results:
        assert list(results) == [item * item for item in range(50)]
    assert prefetch_threads() == 0


def test_no_more_items_are_taken_than_may_wait() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with prefetched(str, items(), ahead=3, threads=2) as results:
        for used in range(1, 11):
            next(results)
            assert len(taken) == used + 3


def test_work_begins_before_the_first_result_is_taken() -> None:
    begun = threading.Event()
    with prefetched(lambda _: begun.set(), [0], ahead=1, threads=1):
        assert begun.wait(20)


def test_an_exception_is_raised_in_place_of_the_result_of_its_item() -> None:
    with prefetched(lambda item: 1 // item, [2, 1, 0, 1], ahead=4, threads=2) as results:
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_after_a_stop_no_thread_is_left_and_the_other_items_are_not_computed() -> None:
    made: list[int] = []
    with pytest.raises(Stopped), prefetched(made.append, range(1000), ahead=5, threads=2) as results:
        next(results)
        raise Stopped
    assert prefetch_threads() == 0
    assert len(made) <= 6
