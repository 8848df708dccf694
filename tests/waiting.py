"""Waiting for conditions that other processes and threads bring about."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `condition` is true, at most for `seconds`. It counts as false if it raises.

    It is asked every 20 ms at first, and later ten times a second, since asking a service takes its time, too.
    """
    begun = time.monotonic()
    while True:
        try:
            if condition():
                return
            why = None
        except Exception as error:
            why = error
        if time.monotonic() > begun + seconds:
            raise AssertionError(f"not in {seconds:g} s") from why
        time.sleep(min(0.1, 0.02 + (time.monotonic() - begun) / 20))


def slowdown() -> float:
    """How many times as long as usual a process must wait for its work now: others use the cores, or they are slow."""
    start, total = time.perf_counter(), 0
    for number in range(4_000_000):  # 0.2 s on a usual core
        total += number
    return max(1.0, (time.perf_counter() - start) / 0.2)
