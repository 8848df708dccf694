"""Compares what job machines make of five faults: canemap, Celery, procrastinate and DBOS do the same toy jobs.

    python -m benchmarks.job_machines --venv FOLDER [--jobs 1000] [--strikes 3] [--only canemap celery] [--faults ...]

FOLDER gets the other machines, from PyPI, if it is missing; nothing is installed beside canemap. Each cell has its own
PostgreSQL and Valkey, two workers with one job at a time, and jobs that take two seconds and then record a result.
All jobs are asked for, then the fault strikes some times, then the fleet works until all jobs have a result or nothing
has happened for a while. The checker compares the ledger of all runs, the recorded results and what the machine says.
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from benchmarks.job_machines import toy
from tests import servers

ROOT = Path(__file__).resolve().parents[2]
MACHINES = ("canemap", "celery", "procrastinate", "dbos")
WORKERS = 2
PACKAGES = ("celery[redis]", "procrastinate", "dbos", "psycopg[binary]")
STILL_S = 40.0  # without a new line of the ledger, with all workers running: what is not done then is stuck
START_S = 900.0  # until the first job begins: a busy machine imports slowly
BETWEEN_S = 6.0  # strikes
IMMEDIATE = signal.SIGQUIT


@dataclass(frozen=True)
class Verdict:
    """What the checker found.

    lost: Jobs without a result of which the machine knows no more, or which it calls ended. stuck: Jobs without a
    result that it still calls waiting or running. results: Jobs with several recorded results. runs: Jobs that were
    worked at to the end several times. beside: Jobs that two processes worked at at once. recovery_s: For each run
    that a strike cut short, seconds from the strike to the next run of its job.
    """

    lost: int
    stuck: int
    results: int
    runs: int
    beside: int
    recovery_s: Sequence[float]


def judge(
    jobs: Iterable[str],
    ledger: Sequence[Mapping[str, object]],
    results: Mapping[str, int],
    states: Mapping[str, str],
    strikes: Sequence[float],
) -> Verdict:
    """Compare what was promised and what happened. It has no clock, no database and no machine."""
    by_job: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for line in ledger:
        by_job[str(line["job"])].append(line)
    missing = [job for job in jobs if not results.get(job)]
    stuck = sum(states.get(job) == "waiting" for job in missing)
    recoveries: list[float] = []
    beside = runs = 0
    for lines in by_job.values():
        runs += sum(line["what"] == "done" for line in lines) > 1
        open_runs: dict[object, float] = {}
        overlap = False
        for line in lines:
            at = float(str(line["at"]))
            if line["what"] != "begun":
                open_runs.pop(line["process"], None)
                continue
            for process, begun in list(open_runs.items()):
                cut = [strike for strike in strikes if begun <= strike <= at]
                if cut and process != line["process"]:
                    recoveries.append(at - cut[0])
            ended_later = {each["process"] for each in lines if each["what"] == "done" and float(str(each["at"])) > at}
            overlap |= bool(ended_later & open_runs.keys() - {line["process"]})
            open_runs[line["process"]] = at
        beside += overlap
    many = sum(count > 1 for count in results.values())
    return Verdict(len(missing) - stuck, stuck, many, runs, beside, recoveries)


@dataclass
class Cell:
    """One machine under one fault."""

    machine: str
    python: Path
    folder: Path
    postgres: servers.Server
    valkey: servers.Server
    environment: dict[str, str]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    strikes: list[float] = field(default_factory=list)

    def command(self, what: str, count: int) -> list[str]:
        """The command line of the machine."""
        return [str(self.python), "-m", f"benchmarks.job_machines.with_{self.machine}", what, str(count)]

    def tell(self, what: str, count: int) -> str:
        """Run the machine's command to its end. Returns what it printed last."""
        variables = self.environment | {"TOY_WORKER": what}
        done = subprocess.run(self.command(what, count), env=variables, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.machine} {what}: {done.stdout[-2000:]}{done.stderr[-3000:]}")
        return (done.stdout.strip().splitlines() or [""])[-1]

    def start(self, name: str) -> None:
        """Start a worker, in a group of processes of its own."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                self.command("work", 0),
                env=self.environment | {"TOY_WORKER": name},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a worker and all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.workers[name].pid, number)

    def tend(self) -> None:
        """Start workers again that have ended, as a supervisor does."""
        for name, process in list(self.workers.items()):
            if process.poll() is not None:
                self.start(name)

    def lines(self) -> list[Mapping[str, object]]:
        """The ledger so far."""
        with suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.folder / "cache" / "ledger").read_text().splitlines()]
        return []


def worker_killed(cell: Cell, chance: random.Random) -> None:
    """SIGKILL to all processes of a worker, which starts again a second later."""
    name = chance.choice(sorted(cell.workers))
    cell.signal(name, signal.SIGKILL)
    cell.workers[name].wait()
    time.sleep(1)
    cell.start(name)


def servers_restarted(cell: Cell, chance: random.Random) -> None:
    """Immediate stop of PostgreSQL, and SIGKILL to Valkey, which writes its log each second."""
    cell.postgres.stop(IMMEDIATE)
    cell.valkey.stop(signal.SIGKILL)
    time.sleep(1)
    cell.postgres.start()
    with suppress(servers.NoServerError):
        cell.valkey.start()


def disk_full(cell: Cell, chance: random.Random) -> None:
    """For five seconds each job is told that the disk is full."""
    (cell.folder / "cache" / "full").touch()
    time.sleep(5)
    (cell.folder / "cache" / "full").unlink()


def clock_jumps(cell: Cell, chance: random.Random) -> None:
    """The clock of the workers is an hour ahead, then an hour late, then right."""
    for jump in ("+3600", "-3600", "+0"):
        part = cell.folder / "clock.part"
        part.write_text(jump)
        part.replace(cell.folder / "clock")
        time.sleep(2)


def worker_paused(cell: Cell, chance: random.Random) -> None:
    """A worker and all its processes stand still for three leases."""
    name = chance.choice(sorted(cell.workers))
    cell.signal(name, signal.SIGSTOP)
    time.sleep(3 * toy.LEASE_S)
    cell.signal(name, signal.SIGCONT)


FAULTS: Mapping[str, Callable[[Cell, random.Random], None]] = {
    each.__name__: each for each in (worker_killed, servers_restarted, disk_full, clock_jumps, worker_paused)
}


def run(machine: str, fault: str, python: Path, jobs: int, strikes: int, keep: Path) -> Verdict:
    """Let one machine do the jobs under one fault."""
    with ExitStack() as stack:
        folder = keep / f"{machine}-{fault}"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "cache").mkdir(parents=True)
        (folder / "clock").write_text("+0")
        url, postgres = stack.enter_context(servers.postgres_process())
        broker, valkey = stack.enter_context(servers.redis_process())
        valkey.command += ["--appendonly", "yes", "--appendfsync", "everysec"]
        valkey.stop()
        valkey.answers = lambda: _ping(broker)  # by default a server of the tests is emptied when it starts
        valkey.start()
        host = str(url.query["host"])
        with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as admin:
            admin.execute("CREATE TABLE toy_results (job TEXT, at TIMESTAMPTZ DEFAULT now())")
            admin.execute("GRANT ALL ON toy_results TO PUBLIC")
        python_of_it = Path(sys.executable) if machine == "canemap" else python
        cell = Cell(machine, python_of_it, folder, postgres, valkey, _environment(folder, host, broker, fault))
        stack.callback(_end, cell)
        cell.tell("ask", jobs)
        for number in range(WORKERS):
            cell.start(f"worker-{number}")
        _await(lambda: bool(cell.lines()), START_S)
        chance = random.Random(0)
        for _ in range(strikes):
            time.sleep(BETWEEN_S * chance.uniform(0.5, 1.5))
            cell.tend()
            cell.strikes.append(time.clock_gettime(time.CLOCK_BOOTTIME))
            FAULTS[fault](cell, chance)
        _until_still(cell, jobs, host)
        return judge(toy.names(jobs), cell.lines(), _results(host), json.loads(cell.tell("states", jobs)), cell.strikes)


def _environment(folder: Path, host: str, broker: str, fault: str) -> dict[str, str]:
    ours = {
        "TOY_FOLDER": str(folder / "cache"),
        "TOY_DATABASE": f"host={host} user=postgres dbname=postgres",
        "TOY_BROKER": f"{broker}/0",
        "CANEMAP_DATA_DIR": str(folder),
        "CANEMAP_DATABASE_URL": f"postgresql+psycopg://postgres@/postgres?host={host}",
        "CANEMAP_BROKER_URL": f"{broker}/0",
        "CANEMAP_LEASE_S": str(toy.LEASE_S),
        "CANEMAP_HEARTBEAT_S": "0.5",
        "CANEMAP_SWEEP_S": "0.5",
        "CANEMAP_RETRY_PAUSES_S": "1",
        "CANEMAP_RETURN_PAUSES_S": "1",
        "CANEMAP_MAX_FAILURES": str(toy.TRIES),
        "CANEMAP_LOG_LEVEL": "warning",
        "CANEMAP_JOB_READS": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    if fault == "clock_jumps":
        spec = importlib.util.find_spec("libfaketime")
        assert spec and spec.origin
        ours |= {
            "LD_PRELOAD": str(Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"),
            "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
    return {**os.environ, **ours}


def _ping(broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        client.ping()


def _results(host: str) -> Mapping[str, int]:
    with psycopg.connect(host=host, user="postgres", dbname="postgres") as connection:
        return Counter(job for (job,) in connection.execute("SELECT job FROM toy_results").fetchall())


def _until_still(cell: Cell, jobs: int, host: str) -> None:
    """Wait until all jobs have results, or nothing happens; then a little more, for what is done twice."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < STILL_S and len(_results(host)) < jobs:
        time.sleep(1)
        cell.tend()
        if (lines := len(cell.lines())) != seen:
            seen, since = lines, time.monotonic()
    time.sleep(4 * toy.LEASE_S)


def _await(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("no job was begun")
        time.sleep(0.2)


def _end(cell: Cell) -> None:
    for name, process in cell.workers.items():
        cell.signal(name, signal.SIGKILL)
        process.wait()


def _install(folder: Path) -> Path:
    """The Python of an environment with the other machines."""
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def main() -> None:
    """Compare, and print a line for each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, required=True, help="folder of the environment of the other machines")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--strikes", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=MACHINES, choices=MACHINES)
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--keep", type=Path, help="folder for logs and ledgers; by default they are deleted")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers end, too
    python = _install(arguments.venv)
    print("machine fault: lost stuck results-twice done-twice side-by-side, recovery p50/max s (cut runs), s in all")
    with tempfile.TemporaryDirectory() as folder:
        for fault in arguments.faults:
            for machine in arguments.only:
                begun = time.monotonic()
                found = run(machine, fault, python, arguments.jobs, arguments.strikes, arguments.keep or Path(folder))
                times = found.recovery_s
                recovery = f"{statistics.median(times):.1f}/{max(times):.1f} ({len(times)})" if times else "-"
                counts = (found.lost, found.stuck, found.results, found.runs, found.beside)
                took = f"{time.monotonic() - begun:.0f}"
                print(f"{machine} {fault}:", *counts, recovery, took, flush=True)


if __name__ == "__main__":
    main()
