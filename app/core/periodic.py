"""What is done again and again, beside a process's own work."""

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import OperationalError

log = structlog.get_logger()


def every(seconds: float, do: Callable[[], object], stop: threading.Event, *, name: str) -> None:
    """Call `do` at once, and again `seconds` after it has ended, until `stop` is set.

    An error is logged under `name` and never ends the loop: what is away, a database perhaps, may come back.
    """
    while not stop.is_set():
        try:
            do()
        except OperationalError as error:
            log.warning("the database is away, will try again", what=name, error=str(error))
        except Exception:
            log.exception("failed, will try again", what=name)
        stop.wait(seconds)


def start_every(seconds: float, do: Callable[[], object], stop: threading.Event, *, name: str) -> threading.Thread:
    """The same in a thread of its own, which does not keep the process alive."""
    thread = threading.Thread(target=every, args=(seconds, do, stop), kwargs={"name": name}, name=name, daemon=True)
    thread.start()
    return thread
