"""Work for all tenants that a process repeats in the background until it is stopped."""

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import OperationalError

from app.core import tenancy

log = structlog.get_logger()


def every(seconds: float, do: Callable[[], object], stop: threading.Event, *, name: str) -> None:
    """Call `do` now, and again `seconds` after each call has returned, until `stop` is set.

    An error is logged under `name` and does not end the loop: the database, for instance, may become available again.
    """
    while not stop.is_set():
        try:
            with tenancy.acting_for(tenancy.ALL):
                do()
        except OperationalError as error:
            log.warning("the database cannot be reached, will try again", what=name, error=str(error))
        except Exception:
            log.exception("failed, will try again", what=name)
        stop.wait(seconds)


def start_every(seconds: float, do: Callable[[], object], stop: threading.Event, *, name: str) -> threading.Thread:
    """Do the same as `every` in a new thread, which does not keep the process alive. Returns the thread."""
    thread = threading.Thread(target=every, args=(seconds, do, stop), kwargs={"name": name}, name=name, daemon=True)
    thread.start()
    return thread
