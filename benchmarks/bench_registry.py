"""Measures lists, single documents, claims and sweeps on a registry of 100,000 models and a million jobs.

    python benchmarks/bench_registry.py [--quick] [--explain] [--database URL]

The script starts and fills a PostgreSQL. `--database` names another one, which is filled if it is empty and used as it
is if not. All requests go in turns through the real application in the same process.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from sqlalchemy import Engine, create_engine, event, text

from app.core.db import migrate
from app.core.paging import encode
from app.core.startup import calm_collection
from app.jobs import claims
from app.jobs.sweep import Sweeper
from app.main import create_app
from app.services import Services
from app.settings import Settings
from benchmarks.percentiles import p99
from benchmarks.registry_data import QUICK, Size, fill, settle
from benchmarks.side_by_side import show
from ml.progress import Progress
from tests import servers

SLOWEST = 12
Paths = dict[str, list[str]]


def main() -> None:
    """Start and fill a database, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the rows, few rounds")
    parser.add_argument("--explain", action="store_true", help=f"show the plans of the {SLOWEST} slowest queries")
    parser.add_argument("--database", metavar="URL", help="a PostgreSQL to use instead of one of our own")
    parser.add_argument("--only", default="", help="only requests whose name has this in it; 'queue': none of them")
    arguments = parser.parse_args()
    size, rounds = (QUICK, 3) if arguments.quick else (Size(), 10)
    with database(arguments.database) as url, tempfile.TemporaryDirectory() as folder:
        # the sweep is measured separately; here it would disturb
        settings = Settings(data_dir=Path(folder), database_url=url, sweep_s=86_400, log_level="error")
        engine = create_engine(url)
        prepare(settings, engine, size)
        requests = {name: each for name, each in requests_of(engine).items() if arguments.only in name}
        with watched() as statements:
            seconds = asyncio.run(time_requests(settings, requests, rounds))
        show_times("Requests", seconds)
        if arguments.only in ("", "queue"):
            show_times("Work of the queue", time_queue(settings, 20 * rounds))
        if arguments.explain:
            explain(engine, statements)
        engine.dispose()


@contextmanager
def database(url: str | None) -> Iterator[str]:
    """URL of the database: `url` if it is given, else a new database on a server for the length of the block."""
    if url:
        yield url
        return
    with servers.postgres() as server, servers.database(server) as own:
        yield own


def prepare(settings: Settings, engine: Engine, size: Size) -> None:
    """Bring the schema up to date, and fill the tables if they are empty."""
    migrate(settings)
    with engine.connect() as connection:
        if connection.scalar(text("SELECT count(*) FROM jobs")):
            return
        start = time.perf_counter()
        fill(connection, size)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        settle(connection)
    print(f"filled in {time.perf_counter() - start:.0f} s")


def requests_of(engine: Engine) -> Paths:
    """Paths of every list and every single document, by the name of the request; paths of one name take turns."""
    with engine.connect() as connection:
        picked = {name: picks(connection, query) for name, query in SAMPLES.items()}
        middle = {table: middle_token(connection, table) for table in PAGED}
    names = picked["models"]
    middle["models"] = sorted(names)[len(names) // 2]
    found: Paths = {"/healthz": ["/healthz"], "/readyz": ["/readyz"], "/metrics": ["/metrics"]}
    for table in LISTS:
        found[f"{table}, first page"] = [f"/v1/{table}"]
        found[f"{table}, 10 items"] = [f"/v1/{table}?limit=10"]
        found[f"{table}, in the middle"] = [f"/v1/{table}?token={middle[table]}"]
        found |= {f"{table}, {one}": [f"/v1/{table}?{one}"] for one in FILTERS.get(table, ())}
        found[f"{table}, one"] = [f"/v1/{table}/{id_}" for id_ in picked[table]]
    found["jobs, log"] = [f"/v1/jobs/{id_}/log" for id_ in picked["logged"]]
    found["jobs, results"] = [f"/v1/jobs/{id_}/results" for id_ in picked["predicted"]]
    found["trainings, series"] = [f"/v1/trainings/{id_}/series" for id_ in picked["series"]]
    found["predictions, areas"] = [f"/v1/predictions/{id_}/areas" for id_ in picked["predicted"]]
    found["datasets, newest of a name"] = [f"/v1/datasets/{id_.partition(':')[0]}" for id_ in picked["datasets"]]
    found["models, version"] = [f"/v1/models/{name}/versions/2" for name in names]
    found["models, @champion"] = [f"/v1/models/{name}/versions/@champion" for name in names]
    found["models, alias"] = [f"/v1/models/{name}/aliases/champion" for name in names]
    # last: their garbage is collected in the time of those that follow
    found |= {f"{table}, 1000 items": [f"/v1/{table}?limit=1000"] for table in LISTS}
    return found


LISTS = ("jobs", "scenes", "labels", "datasets", "trainings", "experiments", "models", "predictions")
PAGED = tuple(table for table in LISTS if table != "models")
SAMPLES = {
    **{table: f"SELECT id FROM {table}" for table in PAGED},
    "models": "SELECT model FROM aliases WHERE alias = 'champion'",
    "logged": "SELECT job_id FROM job_log",
    "series": "SELECT training FROM series",
    "predicted": "SELECT p.id FROM predictions p JOIN jobs j ON j.id = p.id WHERE j.status = 'successful'",
}
STATUSES = ("accepted", "running", "successful", "failed", "dismissed")
KINDS = ("dataset", "training", "experiment", "prediction")
TINY, WIDE, NOWHERE = "110.0,25.0,110.3,25.3", "100,20,120,35", "-60,-10,-59,-9"
WHERE = (*(f"bbox={box}" for box in (TINY, WIDE, NOWHERE)), "datetime=2021-02-01/2021-02-02", "datetime=../2023-01-01")
BOTH = f"bbox={TINY}&datetime=2022-01-01/.."
FILTERS = {
    "jobs": (
        *(f"status={status}" for status in STATUSES),
        *(f"processID={kind}" for kind in KINDS),
        *(f"status={status}&processID=dataset" for status in STATUSES),
    ),
    "scenes": (*WHERE, BOTH),
    "predictions": (
        *WHERE,
        BOTH,
        *(f"status={status}" for status in STATUSES),
        f"status=failed&bbox={TINY}",
        f"status=failed&bbox={WIDE}",
        f"status=running&bbox={TINY}",
    ),
}


def picks(connection: Any, query: str, count: int = 40) -> list[str]:
    """A sample of keys, the same each time."""
    keys = sorted(set(connection.scalars(text(query))))
    return random.Random(0).sample(keys, min(count, len(keys)))


def middle_token(connection: Any, table: str) -> str:
    """Token of the page that begins in the middle of a list."""
    query = f"SELECT created, id FROM {table} ORDER BY created OFFSET (SELECT count(*) / 2 FROM {table}) LIMIT 1"
    created, id_ = connection.execute(text(query)).one()
    return encode(created, id_)


async def time_requests(settings: Settings, requests: Paths, rounds: int) -> dict[str, list[float]]:
    """Seconds of each request by name; all of them once a round."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app)
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for number in range(-1, rounds):
            for name, paths in requests.items():
                start = time.perf_counter()
                answer = await client.get(paths[number % len(paths)])
                if number >= 0:
                    seconds[name].append(time.perf_counter() - start)
                if answer.status_code != 200 and name != "/readyz":
                    raise SystemExit(f"{answer.request.url}: {answer.text[:500]}")
    return seconds


def time_queue(settings: Settings, rounds: int) -> dict[str, list[float]]:
    """Seconds of what a worker and the sweep do, with all the queue waiting: the worker claims the oldest."""
    services = Services.open(settings)
    seconds: dict[str, list[float]] = {name: [] for name in ("claim", "heartbeat", "give back", "sweep")}
    sweeper = Sweeper(services.database, services.queue, settings)

    def timed(name: str, run: Callable[..., Any], *values: Any) -> Any:
        start = time.perf_counter()
        result = run(*values)
        seconds[name].append(time.perf_counter() - start)
        return result

    def in_transaction(use: Callable[..., Any], *values: Any) -> Any:
        with services.database.write() as session:
            return use(session, *values)

    with services.database.write() as session:  # a connection that is open, as in a worker that runs for a while
        claimed = [claims.claim_waiting(session, "prediction")]
    calm_collection()
    for _ in range(rounds):
        claim = timed("claim", in_transaction, claims.claim_waiting, "prediction")
        timed("heartbeat", in_transaction, claims.beat, claim, Progress("train", 1, 20), 1.0)
        timed("sweep", sweeper.sweep)
        claimed.append(claim)
    for claim in claimed:
        timed("give back", in_transaction, claims.release, claim)
    services.close()
    return seconds


def show_times(title: str, seconds: dict[str, list[float]]) -> None:
    """Print medians, 99th percentiles, and the shortest times, which a busy machine disturbs least."""
    columns = (statistics.median, p99, min)
    rows = [(name, *(1e3 * column(each) for column in columns)) for name, each in seconds.items() if each]
    show(title, ("what", "median ms", "p99 ms", "best ms"), rows)


@contextmanager
def watched() -> Iterator[dict[str, tuple[float, Any]]]:
    """Seconds and parameters of the slowest execution of each SQL statement, by its text."""
    slowest: dict[str, tuple[float, Any]] = {}

    def before(*arguments: Any) -> None:
        arguments[4].started = time.perf_counter()

    def after(_connection: Any, _cursor: Any, statement: str, parameters: Any, context: Any, _many: bool) -> None:
        seconds = time.perf_counter() - context.started
        if seconds > slowest.get(statement, (0.0, None))[0]:
            slowest[statement] = seconds, parameters

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    yield slowest
    event.remove(Engine, "before_cursor_execute", before)
    event.remove(Engine, "after_cursor_execute", after)


def explain(engine: Engine, statements: dict[str, tuple[float, Any]]) -> None:
    """Print the plans of the slowest statements, which are executed again for it."""
    reading = [(each, *found) for each, found in statements.items() if each.startswith(("SELECT", "WITH"))]
    for statement, seconds, parameters in sorted(reading, key=lambda item: -item[1])[:SLOWEST]:
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters).scalars().all()
        print(f"\n{1e3 * seconds:.1f} ms: {statement}\n{json.dumps(parameters, default=str)}\n", *plan, sep="\n")


if __name__ == "__main__":
    main()
