"""Waiting for conditions that other processes and threads bring about."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `condition` is true, at most for `seconds`. It counts as false if it raises."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
            why = None
        except Exception as error:
            why = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:g} s") from why
        time.sleep(0.02)
