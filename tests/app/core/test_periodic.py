"""Work that is repeated in the background until it is stopped."""

import threading
import time

from sqlalchemy.exc import OperationalError

from app.core.periodic import every, start_every
from tests.waiting import eventually


def test_the_first_call_is_at_once() -> None:
    stop, done = threading.Event(), threading.Event()
    start_every(3600, done.set, stop, name="test")
    assert done.wait(60)
    stop.set()


def test_calls_are_repeated_until_the_stop() -> None:
    stop, moments = threading.Event(), list[float]()
    thread = start_every(0.1, lambda: moments.append(time.monotonic()), stop, name="test")
    eventually(lambda: len(moments) >= 3)
    assert moments[2] - moments[0] >= 0.2
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_errors_do_not_end_the_loop() -> None:
    stop, errors = threading.Event(), [ValueError(), OperationalError("SELECT 1", {}, Exception("away")), OSError()]
    left = list[Exception](errors)

    def do() -> None:
        if left:
            raise left.pop()
        stop.set()

    every(0, do, stop, name="test")
    assert left == []


def test_there_is_no_call_after_the_stop() -> None:
    stop, done = threading.Event(), list[None]()
    stop.set()
    every(0, lambda: done.append(None), stop, name="test")
    assert done == []
