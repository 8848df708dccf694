"""Measures what row-level security costs requests on PostgreSQL.

    python benchmarks/bench_row_security.py [--quick]

A service with 20 tenants runs on loopback, on a PostgreSQL that the script also starts. One key sends the same requests
by turns with and without this wall: without it transactions name neither tenant nor role to the database, and no table
has a policy. The conditions that the sessions add to statements are there in both. Two figures are taken: the median
time of a request, and what the service, its client and the database compute for one, which a busy machine changes less.
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import event, text

from app.core.columns import Base
from app.core.db import Database, ScopedSession, _tell_the_scope
from app.settings import Settings
from benchmarks.bench_api import postgres
from benchmarks.bench_tenants import furnish, status
from benchmarks.side_by_side import show
from tests.app.api.conftest import serving

PATHS = ("/v1/jobs/trn_0000", "/v1/jobs?limit=10", "/v1/jobs?limit=100", "/v1/scenes?limit=10")
WARM_UP = 20  # requests that do not count: the database plans statements anew after a change of its tables
_BACKENDS = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")


@dataclass(frozen=True)
class Taken:
    """What a request takes: seconds until its answer, and of computing."""

    seconds: float
    computing_s: float


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    rounds, count = (5, 100) if parser.parse_args().quick else (15, 200)
    logging.disable(logging.WARNING)
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        more = {"auth": "keys", "limit_requests_per_minute": 0}
        settings = Settings(data_dir=Path(folder), database_url=url, log_level="warning").model_copy(update=more)
        key = furnish(settings)[-1]  # of the tenant with 1,000 jobs
        database = Database(url)
        pairs: dict[str, list[tuple[Taken, Taken]]] = {path: [] for path in PATHS}
        with serving(settings) as http:
            connection = HTTPConnection(http.base_url.host, http.base_url.port)
            for _ in range(rounds):
                for path in PATHS:
                    with_ = measured(database, connection, path, key, count)
                    with switched_off(database):
                        pairs[path].append((with_, measured(database, connection, path, key, count)))
        database.close()
    for name in ("seconds", "computing_s"):
        rows = [row(path, [(getattr(a, name), getattr(b, name)) for a, b in found]) for path, found in pairs.items()]
        show(f"{name} of a GET, medians of {rounds} pairs of {count}", ("path", "with ms", "without ms", "ratio"), rows)


def measured(database: Database, connection: HTTPConnection, path: str, key: str, count: int) -> Taken:
    """What a request takes."""
    for _ in range(WARM_UP):
        assert status(connection, path, key) == 200
    taken, before = [], computed_s(database)
    for _ in range(count):
        start = time.perf_counter()
        assert status(connection, path, key) == 200
        taken.append(time.perf_counter() - start)
    return Taken(statistics.median(taken), (computed_s(database) - before) / count)


def computed_s(database: Database) -> float:
    """Seconds that this process and those of the database have computed."""
    with database.engine.connect() as connection:
        pids = connection.scalars(_BACKENDS).all()
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # in user mode, and in the kernel
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def switched_off(database: Database) -> Iterator[None]:
    """Do the block without row-level security."""
    switch(database, "DISABLE")
    event.remove(ScopedSession, "after_begin", _tell_the_scope)
    try:
        yield
    finally:
        event.listen(ScopedSession, "after_begin", _tell_the_scope)
        switch(database, "ENABLE")


def switch(database: Database, how: str) -> None:
    """Disable or enable the policies of all tables."""
    with database.engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            if "tenant" in table.columns:
                connection.execute(text(f"ALTER TABLE {table.name} {how} ROW LEVEL SECURITY"))


def row(path: str, pairs: list[tuple[float, float]]) -> tuple[str, float, float, float]:
    """The medians of both sides in milliseconds, and that of their ratios."""
    with_, without = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
    return path, with_, without, statistics.median(a / b for a, b in pairs)


if __name__ == "__main__":
    main()
