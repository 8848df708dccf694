"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `true` holds; it counts as false when it raises."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
            why = None
        except Exception as error:
            why = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:g} s") from why
        time.sleep(0.02)
