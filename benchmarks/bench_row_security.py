"""Measures what row-level security costs requests on PostgreSQL.

    python benchmarks/bench_row_security.py [--quick]

A service with 20 tenants runs on loopback, on a PostgreSQL that the script also starts. One key sends the same requests
by turns with and without this wall: without it transactions name neither tenant nor role to the database, and no table
has a policy. The conditions that the sessions add to statements are there in both. The figure is the median of the
ratios of neighbouring rounds.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
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
WARM_UP = 20


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short rounds, and few")
    rounds, count = (6, 50) if parser.parse_args().quick else (20, 100)
    logging.disable(logging.WARNING)
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        more = {"auth": "keys", "limit_requests_per_minute": 0}
        settings = Settings(data_dir=Path(folder), database_url=url, log_level="warning").model_copy(update=more)
        key = furnish(settings)[-1]  # of the tenant with 1,000 jobs
        found: dict[str, list[tuple[float, float]]] = {path: [] for path in PATHS}
        with serving(settings) as http:
            connection = HTTPConnection(http.base_url.host, http.base_url.port)
            for _ in range(rounds):
                for path in PATHS:
                    found[path].append(
                        (time_requests(connection, path, key, count), without(settings, connection, path, key, count))
                    )
    rows = [
        (path, *(1e3 * statistics.median(side) for side in zip(*pairs, strict=True)), ratio(pairs))
        for path, pairs in found.items()
    ]
    show(f"GET by one client, {rounds} pairs of rounds of {count}", ("path", "with ms", "without ms", "ratio"), rows)


def time_requests(connection: HTTPConnection, path: str, key: str, count: int) -> float:
    """Median seconds of a request, after some that do not count: the database plans statements anew after a change."""
    taken = []
    for _ in range(WARM_UP):
        assert status(connection, path, key) == 200
    for _ in range(count):
        start = time.perf_counter()
        assert status(connection, path, key) == 200
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def without(settings: Settings, connection: HTTPConnection, path: str, key: str, count: int) -> float:
    """Median seconds of a request without row-level security."""
    switch(settings, "DISABLE")
    event.remove(ScopedSession, "after_begin", _tell_the_scope)
    try:
        return time_requests(connection, path, key, count)
    finally:
        event.listen(ScopedSession, "after_begin", _tell_the_scope)
        switch(settings, "ENABLE")


def switch(settings: Settings, how: str) -> None:
    """Disable or enable the policies of all tables."""
    database = Database(settings.database)
    with database.engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            if "tenant" in table.columns:
                connection.execute(text(f"ALTER TABLE {table.name} {how} ROW LEVEL SECURITY"))
    database.close()


def ratio(pairs: list[tuple[float, float]]) -> float:
    """The median of the ratios of the pairs."""
    return statistics.median(with_ / without_ for with_, without_ in pairs)


if __name__ == "__main__":
    main()
