"""Measures what one tenant that misbehaves costs the others, and what keys cost each request.

    python benchmarks/bench_tenants.py [--quick]

A service without workers runs on loopback, on a PostgreSQL that the script also starts, and asks for keys. 19 tenants
ask for the status of a job, and for their lists, twice a second each. In every second round the twentieth tenant, which
has 1,000 waiting jobs, floods the service from a process of its own: requests on 16 connections without any pause, 20
uploads of a few bytes a second, and 50 streams of events. The limits are the defaults. The figure is the ratio of the
medians of both kinds of rounds. Requests of /healthz, which need no thread and no database, show what the machine
itself gives.
"""

import argparse
import itertools
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from http.client import HTTPConnection, HTTPException
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.access import keys, tenants
from app.core import tenancy
from app.core.db import Database, migrate
from app.core.startup import configure_logs
from app.jobs import lifecycle
from app.requests.access import Limits
from app.settings import Settings
from benchmarks.bench_api import ROOT, postgres, wait_for
from benchmarks.percentiles import p99
from benchmarks.side_by_side import show
from tests import servers

TENANTS, WAITING, PAUSE_S = 20, 1000, 0.5
FLOOD, UPLOADS, STREAMS = 16, 20, 50
PATHS = ("/v1/jobs/trn_0000", "/v1/scenes?limit=10", "/v1/jobs?limit=10")
POLLED = {"a request": PATHS, "/healthz": ("/healthz",)}
context = multiprocessing.get_context("spawn")


def main() -> None:
    """Measure both, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short rounds, and few")
    quick = parser.parse_args().quick
    rounds, seconds, count = (3, 8.0, 300) if quick else (7, 15.0, 2000)
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url, log_level="warning")
        texts = furnish(settings)
        with serving(settings, "keys") as asking:
            time_others(asking, texts, rounds, seconds)
            with serving(settings, "none") as open_:
                time_keys(asking, open_, texts[0], count, rounds)


def furnish(settings: Settings) -> list[str]:
    """Make the tenants with their jobs; returns a key of each. That of "local" is the first."""
    configure_logs(settings)
    migrate(settings)
    database, texts = Database(settings.database), []
    for number in range(TENANTS):
        name = "local" if number == 0 else f"tenant-{number:02}"
        with tenancy.acting_for(tenancy.ALL), database.write() as session:
            most = Limits(requests_per_minute=10**9) if number == 0 else None  # `time_keys` sends many
            tenants.put(session, name, None, limits=most)
            texts.append(keys.create(session, name, name, "operate").text)
        with tenancy.acting_for(name), database.write() as session:
            for job in range(WAITING if number == TENANTS - 1 else 10):
                lifecycle.create(session, f"trn_{job:04}", "training")
    database.close()
    return texts


@contextmanager
def serving(settings: Settings, auth: str, **more: str) -> Iterator[str]:
    """Run the API alone; yields its address. more: Settings of its environment."""
    port = servers.free_port()
    environment = {"CANEMAP_DATA_DIR": str(settings.data_dir / auth), "CANEMAP_DATABASE_URL": settings.database}
    environment |= {"CANEMAP_LOG_LEVEL": "warning", "CANEMAP_AUTH": auth, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", str(port)], env=os.environ | environment | more
    )
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def time_others(base: str, texts: Sequence[str], rounds: int, seconds: float) -> None:
    """Time the requests of all tenants but the last, by turns without and with what the last one does."""
    *others, last = texts
    found: dict[tuple[str, bool], list[list[float]]] = {(name, kind): [] for name in POLLED for kind in (False, True)}
    sent = 0
    for misbehaving in [False, True] * rounds:
        with flood(base, last) if misbehaving else nullcontext([0]) as flooded:
            for name, paths in POLLED.items():
                found[name, misbehaving].append(poll(base, others, seconds, paths))
        sent += flooded[0]
        time.sleep(1)
    rows = []
    values: tuple[tuple[str, Callable[[Sequence[float]], float]], ...]
    values = (("p50 ms", statistics.median), ("p99 ms", p99))
    for name in POLLED:
        for unit, value in values:
            without, with_ = (
                statistics.median([value(taken) for taken in found[name, kind]]) for kind in (False, True)
            )
            rows.append((f"{name}, {unit}", 1e3 * without, 1e3 * with_, with_ / without))
    show(f"{len(others)} tenants beside one that misbehaves", ("of", "without", "with", "ratio"), rows)
    sent_a_second = sent / rounds / seconds / len(POLLED)
    print(f"medians of {rounds} rounds of each kind; the one sent {sent_a_second:.0f} requests a second")


def poll(base: str, texts: Sequence[str], seconds: float, paths: Sequence[str]) -> list[float]:
    """Seconds of each request of clients that have one key each."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    def ask(number: int, text: str) -> None:
        connection = HTTPConnection(urlsplit(base).netloc)
        time.sleep(PAUSE_S * number / len(texts))
        for path in itertools.cycle(paths):
            start = time.perf_counter()
            if start > end:
                break
            assert status(connection, path, text) == 200
            taken.append(time.perf_counter() - start)
            time.sleep(PAUSE_S)
        connection.close()

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(texts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def status(connection: HTTPConnection, path: str, text: str | None) -> int:
    """The status of the answer to a request."""
    connection.request("GET", path, headers={"Authorization": f"Bearer {text}"} if text else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@contextmanager
def flood(base: str, text: str) -> Iterator[list[int]]:
    """Let a tenant misbehave for the length of the block; yields a list that gets the number of its requests."""
    stop, count = context.Event(), context.Value("i", 0)
    process = context.Process(target=_misbehave, args=(base, text, stop, count))
    process.start()
    while not count.value:
        time.sleep(0.1)
    time.sleep(2)
    sent: list[int] = []
    begun = count.value
    try:
        yield sent
    finally:
        sent.append(count.value - begun)
        stop.set()
        process.join()


def _misbehave(base: str, text: str, stop: Event, count: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    works = [(_ask_on, FLOOD), (_upload_slowly, UPLOADS), (_stream, STREAMS)]
    threads = [
        threading.Thread(target=do, args=(base, text, stop, count), daemon=True) for do, n in works for _ in range(n)
    ]
    for thread in threads:
        thread.start()
    stop.wait()


def _ask_on(base: str, text: str, stop: Event, count: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    while not stop.is_set():
        connection = HTTPConnection(urlsplit(base).netloc)
        with suppress(OSError, HTTPException):
            while not stop.is_set():
                status(connection, PATHS[2], text)
                with count.get_lock():
                    count.value += 1
        connection.close()


def _upload_slowly(base: str, text: str, stop: Event, _count: object) -> None:
    head = (
        f"PUT /v1/scenes/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\nContent-Length: 99999\r\n\r\n"
    )
    while not stop.is_set():
        with suppress(OSError), _connected(base) as connection:
            connection.sendall(head.encode())
            while not stop.is_set():
                connection.sendall(b"II*\0")
                stop.wait(1)


def _stream(base: str, text: str, stop: Event, _count: object) -> None:
    head = f"GET /v1/jobs/trn_0001/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\n\r\n"
    while not stop.is_set():
        with suppress(OSError), _connected(base) as connection:
            connection.sendall(head.encode())
            while connection.recv(4096):
                pass
        stop.wait(0.1)


def _connected(base: str) -> socket.socket:
    parts = urlsplit(base)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)


def time_keys(asking: str, open_: str, text: str, count: int, rounds: int) -> None:
    """Time requests on one connection, by turns to a service that asks for keys and to one that asks for none."""
    found: dict[str, list[float]] = {asking: [], open_: []}
    for _ in range(rounds):
        for base in (open_, asking):
            connection = HTTPConnection(urlsplit(base).netloc)
            shown = text if base == asking else None
            start = time.perf_counter()
            for _ in range(count):
                if status(connection, PATHS[0], shown) == 429:
                    raise RuntimeError("the limit of requests was reached")
            found[base].append((time.perf_counter() - start) / count)
            connection.close()
    none, keyed = (1e3 * statistics.median(found[base]) for base in (open_, asking))
    show("GET /v1/jobs/ID, one after the other", ("no keys, ms", "keys, ms", "ratio"), [(none, keyed, keyed / none)])


if __name__ == "__main__":
    main()
