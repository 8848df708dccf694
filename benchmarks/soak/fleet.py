"""Runs the processes of a service as an operator does; each can be killed, frozen and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import redis

from app.settings import Settings
from tests import servers

ROOT = Path(__file__).resolve().parents[2]
GONE_S = 60  # after SIGTERM: a process that still runs then would never end


@dataclass
class Part:
    """One process of the service. It ends with the thread that started it, so that thread must last."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process. It is not ready yet when this returns."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=dict(self.environment), cwd=ROOT
            )

    @property
    def lives(self) -> bool:
        """Whether the process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    def end(self, how: signal.Signals) -> None:
        """Send a signal that ends the process, and wait for its end; after a minute kill it."""
        if self.process is None:
            return
        self.process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GONE_S)
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


def descendants(ancestor: int) -> list[tuple[int, int]]:
    """The process ids of a process's children, their children and so on, each with its depth: 1 for a child."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    children: dict[int, list[int]] = {}
    for pid, parent in (map(int, line.split()) for line in listed.stdout.splitlines()):
        children.setdefault(parent, []).append(pid)
    found = [(ancestor, 0)]
    for pid, depth in found:  # the list grows while it is read
        found += [(child, depth + 1) for child in children.get(pid, ())]
    return found[1:]


@dataclass
class Fleet:
    """All processes of one service with the same settings.

    postgres, redis: The servers; None for the embedded stack. died: Names and exit codes of processes that ended though
    nobody killed them.
    """

    settings: Settings
    apis: list[Part]
    workers: list[Part]
    urls: list[str]
    postgres: servers.Server | None = None
    redis: servers.Server | None = None
    died: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        """APIs and workers."""
        return [*self.apis, *self.workers]

    def __enter__(self) -> Self:
        """Start all processes but the servers, which run already."""
        for part in self.parts:
            part.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill all processes; how long they take to end was measured before."""
        for part in self.parts:
            part.end(signal.SIGKILL)

    def tend(self) -> None:
        """Start each process again that has ended by itself, as the supervisor of an operator does."""
        for part in self.parts:
            if not part.lives:
                self.died.append(f"{part.name}: {part.process.returncode if part.process else None}")
                part.end(signal.SIGKILL)
                part.start()

    def forget_messages(self) -> None:
        """Delete all messages in the broker."""
        if self.redis:
            with redis.Redis.from_url(self.settings.broker) as client:
                client.flushall()
        for message in self.settings.broker_dir.glob("*.msg"):
            message.unlink(missing_ok=True)


@contextmanager
def fleet(folder: Path, settings: Settings, *, apis: int, workers: int, embedded: bool) -> Iterator[Fleet]:
    """The service with its servers running, but none of its processes started. settings: Settings of all processes."""
    if embedded:
        yield _fleet(folder, settings, apis, workers)
        return
    with servers.postgres_process() as (database, postgres), servers.redis_process() as (broker, redis_server):
        urls = {
            "database_url": database.render_as_string(hide_password=False),
            "broker_url": f"{broker}/0",
        }
        made = _fleet(folder, settings.model_copy(update=urls), apis, workers)
        made.postgres, made.redis = postgres, redis_server
        yield made


def _fleet(folder: Path, settings: Settings, apis: int, workers: int) -> Fleet:
    environment = _environment(settings)
    ports = servers.free_ports(apis)
    serve = [sys.executable, "-m", "app.cli", "serve", "--with-parent", "--port"]
    work = [sys.executable, "-m", "worker", "--with-parent"]

    def part(name: str, command: Sequence[str]) -> Part:
        return Part(name, command, environment, folder / f"{name}.log")

    return Fleet(
        settings,
        [part(f"api-{number}", [*serve, str(port)]) for number, port in enumerate(ports)],
        [part(f"worker-{number}", work) for number in range(workers)],
        [f"http://127.0.0.1:{port}" for port in ports],
    )


def _environment(settings: Settings) -> dict[str, str]:
    """Settings as the environment of a process with one thread, because there are many processes on few cores."""
    ours = {f"CANEMAP_{name.upper()}": str(value) for name, value in settings.model_dump().items()}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, **ours, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
