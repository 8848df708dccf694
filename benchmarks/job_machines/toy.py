"""The toy job that every machine does, and the ledger in which each run of it is written down.

Only Python and psycopg are needed, because each machine runs in its own environment. A machine is a module of this
folder with `work()`, `ask(jobs)` and `states(jobs)`: `python -m benchmarks.job_machines.NAME work|ask|states COUNT`.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

FOLDER = Path(os.environ.get("TOY_FOLDER", "."))  # with the ledger and the file that says that the disk is full
DATABASE = os.environ.get("TOY_DATABASE", "")  # as libpq takes it
BROKER = os.environ.get("TOY_BROKER", "")
LEASE_S = 4.0  # a worker that was not heard of for so long is dead, where the machine can be told that
SECONDS, SLICES = 2.0, 10
TRIES = 10
RECORD = "INSERT INTO toy_results (job) VALUES ('{}')"


def names(count: int) -> list[str]:
    """The ids of all jobs."""
    return [f"toy-{number}" for number in range(count)]


def do(job: str) -> None:
    """Work for two seconds, and write down when that began and ended. Raises `OSError` while the disk is full."""
    _note(job, "begun")
    for _ in range(SLICES):
        time.sleep(SECONDS / SLICES)
        if (FOLDER / "full").exists():
            _note(job, "failed")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _note(job, "done")


def record(job: str) -> None:
    """Record the result of a job as a task does that has nothing but a database: in a transaction of its own."""
    import psycopg

    with psycopg.connect(DATABASE, connect_timeout=5) as connection:
        connection.execute(RECORD.format(job).encode())


def _note(job: str, what: str) -> None:
    line = json.dumps({"job": job, "what": what, "process": os.getpid(), "at": time.clock_gettime(time.CLOCK_BOOTTIME)})
    with (FOLDER / "ledger").open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


def main(
    work: Callable[[], object],
    ask: Callable[[Sequence[str]], object],
    states: Callable[[Sequence[str]], Mapping[str, str]],
) -> None:
    """The command line of a machine."""
    what, count = sys.argv[1], int(sys.argv[2])
    if what == "work":
        work()
    elif what == "ask":
        ask(names(count))
    else:
        print(json.dumps(dict(states(names(count)))))
