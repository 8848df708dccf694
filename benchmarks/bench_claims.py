"""Measures how quickly and how fairly a fleet of workers claims jobs.

    python benchmarks/bench_claims.py [--workers 100] [--jobs 10000] [--seconds 40] [--work 5] [--max-connections 200]

Light workers, each a process with one connection, claim the jobs of three owners from a PostgreSQL that the script also
starts, send heartbeats, and end each job after some time. The first owner has asked for nine tenths of the jobs before
the others asked for any. A claim is what a worker does between two jobs: one transaction, with its commit. Beside its
time there is what worker and database compute for it, which a busy machine changes less.
With fewer connections than workers, workers are refused for a time, and try again as real ones do.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psycopg
from sqlalchemy import URL, event, func, select
from sqlalchemy.exc import OperationalError

from app.access import tenants
from app.core import tenancy
from app.core.db import Connections, Database, migrate
from app.core.startup import calm_collection, configure_logs
from app.jobs import claims, lifecycle
from app.jobs.claims import Claim
from app.settings import Settings
from app.tables import Job
from benchmarks.percentiles import p99
from benchmarks.side_by_side import show
from tests import servers

OWNERS = {"large": 0.9, "middle": 0.09, "small": 0.01}  # shares of the jobs
QUEUE = "prediction"
IDLE_S, BEAT_S = 0.2, 1.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class Claimed:
    """A claim.

    at: Seconds since the fleet began. seconds: How long it took. computing_s: Of the worker and of its backend.
    refused: Tries without a connection.
    first: Whether it is the first one of its worker, which opens its connection and compiles its statements.
    """

    job: str
    owner: str
    at: float
    seconds: float
    computing_s: float
    refused: int
    first: bool


def main() -> None:
    """Measure, and print the tables. Ends with exit code 1 if a job was lost or claimed twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=40, help="how long the fleet works")
    parser.add_argument("--work", type=float, default=5, help="mean seconds that a worker has a job")
    parser.add_argument("--max-connections", type=int, default=200, help="of PostgreSQL")
    arguments = parser.parse_args()
    configure_logs(Settings(log_level="error"))
    with servers.postgres_process() as (url, server), tempfile.TemporaryDirectory() as folder:
        _limit_connections(url, arguments.max_connections)
        server.stop()
        server.start()
        settings = Settings(data_dir=Path(folder), database_url=url.render_as_string(hide_password=False))
        migrate(settings)
        _ask(settings, arguments.jobs)
        claimed = _work(settings, arguments.workers, arguments.seconds, arguments.work)
        faults = _faults(settings, arguments.jobs, claimed)
    _print(claimed, arguments.seconds)
    if faults:
        sys.exit("\n".join(faults))


def _limit_connections(url: URL, count: int) -> None:
    with psycopg.connect(host=str(url.query["host"]), user="postgres", autocommit=True) as admin:
        admin.execute(f"ALTER SYSTEM SET max_connections = {int(count)}".encode())


def _ask(settings: Settings, jobs: int) -> None:
    """Ask for the jobs of all owners, those of the largest first."""
    database = Database(settings.database)
    for owner, share in OWNERS.items():
        with tenancy.acting_for(tenancy.ALL), database.write() as session:
            tenants.ensure(session, owner)
        with tenancy.acting_for(owner), database.write() as session:
            for number in range(round(share * jobs)):
                lifecycle.create(session, f"prd_{number:05d}", "prediction")
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    database.close()


def _work(settings: Settings, workers: int, seconds: float, work_s: float) -> list[Claimed]:
    """Let a fleet work. Returns all its claims, in the order of time."""
    fork = multiprocessing.get_context("fork")
    begin, found = fork.Barrier(workers), fork.SimpleQueue()
    calm_collection()

    def run(number: int) -> None:
        found.put(_Worker(settings, number, work_s).work(begin, seconds))

    fleet = [fork.Process(target=run, args=(number,)) for number in range(workers)]
    for process in fleet:
        process.start()
    claimed = [claim for _ in fleet for claim in found.get()]
    for process in fleet:
        process.join()
    return sorted(claimed, key=lambda claim: claim.at)


class _Worker:
    """A worker without files, nets and child processes."""

    def __init__(self, settings: Settings, number: int, work_s: float) -> None:
        self._database = Database(settings.database, Connections(kept=1, more=0))
        self._random, self._work_s = Random(number), work_s
        self._refused = 0
        self._backends: list[int] = []
        event.listen(self._database.engine, "connect", lambda made, _: self._backends.append(made.info.backend_pid))

    def work(self, begin: Barrier, seconds: float) -> Sequence[Claimed]:
        claimed: list[Claimed] = []
        begin.wait()
        start = time.monotonic()
        time.sleep(self._random.uniform(0, self._work_s))  # workers do not all start within a second
        while time.monotonic() < start + seconds:
            self._refused, before, computed = 0, time.monotonic(), self._computed_s()
            claim = self._insist(_claim)
            if claim is None:
                time.sleep(IDLE_S)
                continue
            took, computing = time.monotonic() - before, self._computed_s() - computed
            claimed.append(
                Claimed(claim.job_id, claim.tenant, before - start, took, computing, self._refused, not claimed)
            )
            self._do(claim)
        self._database.close()
        return claimed

    def _computed_s(self) -> float:
        """Seconds that this process and its backend have computed so far."""
        of_backend = Path(f"/proc/{self._backends[-1]}/schedstat").read_text().split()[0] if self._backends else 0
        return time.process_time() + int(of_backend) / 1e9

    def _do(self, claim: Claim) -> None:
        """Have the job for a time, with heartbeats, and end it."""
        end = time.monotonic() + self._random.uniform(0.5, 1.5) * self._work_s
        with tenancy.acting_for(claim.tenant):
            own = claim.in_its_scope()
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, BEAT_S))
                self._insist(lambda database: _write(database, lambda session: claims.beat(session, own, None, None)))
            self._insist(lambda database: _write(database, lambda session: claims.succeed(session, own)))

    def _insist(self, do: Callable[[Database], Result]) -> Result:
        while True:
            try:
                return do(self._database)
            except OperationalError:  # the server has no connection left
                self._refused += 1
                time.sleep(IDLE_S)


def _claim(database: Database) -> Claim | None:
    with tenancy.acting_for(tenancy.ALL), database.write() as session:
        return claims.claim_waiting(session, QUEUE)


def _write(database: Database, change: Callable[..., Result]) -> Result:
    with database.write() as session:
        return change(session)


def _faults(settings: Settings, jobs: int, claimed: Sequence[Claimed]) -> list[str]:
    """A sentence for each way in which jobs were lost or done twice."""
    database = Database(settings.database)
    with tenancy.acting_for(tenancy.ALL), database.read() as session:
        ended = session.scalar(select(func.count()).select_from(Job).where(Job.status == "successful")) or 0
        waiting = session.scalar(select(func.count()).select_from(Job).where(Job.status == "accepted")) or 0
        again = session.scalar(select(func.count()).select_from(Job).where(Job.attempt > 1)) or 0
    database.close()
    twice = len(claimed) - len({claim.job for claim in claimed})
    found = {
        "lost": jobs - ended - waiting,
        "claimed twice": twice + again,
        "claimed and not ended": len(claimed) - ended,
    }
    return [f"{count} jobs were {what}" for what, count in found.items() if count]


def _print(claimed: Sequence[Claimed], seconds: float) -> None:
    usual = [claim for claim in claimed if not claim.refused and not claim.first]
    times = {
        "time": [1e3 * claim.seconds for claim in usual],
        "computing": [1e3 * claim.computing_s for claim in usual],
    }
    show(
        f"{len(claimed)} claims in {seconds:g} s; {sum(one.refused > 0 for one in claimed)} waited for a connection",
        ("of a claim", "median ms", "p99 ms", "longest ms"),
        [(name, statistics.median(each), p99(each), max(each)) for name, each in times.items()],
    )
    counts = Counter(claim.owner for claim in claimed)
    first = {
        owner: min((claim.at for claim in claimed if claim.owner == owner), default=float("nan")) for owner in OWNERS
    }
    show("Owners", ("owner", "claims", "first after s"), [(owner, counts[owner], first[owner]) for owner in OWNERS])


if __name__ == "__main__":
    main()
