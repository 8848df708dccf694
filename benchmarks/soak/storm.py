"""The storm: a random sequence of blows from a seed. Each strikes a part of the fleet and starts it again."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random

from benchmarks.soak.fleet import Fleet, Part, descendants
from benchmarks.soak.troubles import TROUBLE
from tests.unkillable import kept_by_the_kernel

Blow = Callable[[], float | None]
IMMEDIATE = signal.SIGQUIT  # PostgreSQL stops as in a crash and recovers at its start
ZOMBIE_LEASES = (3.0, 4.0)  # how long a worker is stopped: by then another one has its job
PAUSE_LEASES = (1.5, 2.5)  # how long PostgreSQL is stopped


class Missed(Exception):
    """There was no process for the blow to strike."""


@dataclass(frozen=True)
class Strike:
    """A blow that fell. at: Seconds since 1970. exit_s: Seconds from SIGTERM to the end of the process."""

    at: float
    kind: str
    exit_s: float | None = None


@dataclass
class Storm:
    """Strikes one blow at a time.

    random: Source of all random choices. only: Names of the blows that are used; empty for all.
    strikes: The blows until now.
    """

    fleet: Fleet
    random: Random
    only: tuple[str, ...] = ()
    strikes: list[Strike] = field(default_factory=list)

    def strike(self) -> None:
        """Strike one blow. Afterwards all processes run again, though perhaps they are not ready yet."""
        self.fleet.tend()
        kinds = self._kinds()
        while True:
            (blow,) = self.random.choices(list(kinds), weights=list(kinds.values()))
            at = time.time()
            with suppress(Missed):
                self.strikes.append(Strike(at, blow.__name__, blow()))
                return

    def _kinds(self) -> dict[Blow, int]:
        """Relative frequency of each kind of blow."""
        kinds: dict[Blow, int] = {
            self.worker_killed: 6,
            self.child_killed: 5,
            self.fork_server_killed: 1,
            self.worker_told_to_end: 3,
            self.worker_frozen: 2,
            self.keeper_frozen: 1,
            self.api_killed: 3,
            self.api_told_to_end: 1,
            self.messages_forgotten: 1,
            self.worker_of_an_older_protocol: 1,
            self.gpu_of_a_worker_fails: 1,
            self.store_refuses_a_worker: 1,
            self.disk_of_a_worker_is_full: 1,
            self.child_cannot_be_killed: 1,
            self.all_killed: 3,
        }
        if self.fleet.postgres and self.fleet.redis:
            kinds |= {self.redis_killed: 2, self.postgres_stopped: 2, self.postgres_frozen: 1}
        wanted = {blow: weight for blow, weight in kinds.items() if not self.only or blow.__name__ in self.only}
        if not wanted:
            raise ValueError(f"this stack has no blow of {list(self.only)}; it has {[blow.__name__ for blow in kinds]}")
        return wanted

    def worker_killed(self) -> None:
        """SIGKILL to a worker: its child must notice that it is an orphan."""
        self._end_and_restart(self.random.choice(self.fleet.workers), signal.SIGKILL)

    def child_killed(self) -> None:
        """SIGKILL to the process that does a job: its worker must notice it at once."""
        self._kill_at_depth(2)

    def fork_server_killed(self) -> None:
        """SIGKILL to the fork server of a worker, from which the processes of jobs are forked."""
        self._kill_at_depth(1)

    def worker_told_to_end(self) -> float:
        """SIGTERM to a worker, which must give its job back; seconds until it has ended."""
        return self._end_and_restart(self.random.choice(self.fleet.workers), signal.SIGTERM)

    def worker_frozen(self) -> None:
        """Make a zombie: a worker and its child are stopped for three to four leases and then continue."""
        worker = self.random.choice(self.fleet.workers)
        self._freeze([worker.pid, *(pid for pid, _ in descendants(worker.pid))], ZOMBIE_LEASES)

    def keeper_frozen(self) -> None:
        """Stop the worker alone: its child continues, and nobody beats for the job."""
        self._freeze([self.random.choice(self.fleet.workers).pid], ZOMBIE_LEASES)

    def api_killed(self) -> None:
        """SIGKILL to an API, perhaps between a commit and its answer."""
        self._end_and_restart(self.random.choice(self.fleet.apis), signal.SIGKILL)

    def api_told_to_end(self) -> float:
        """SIGTERM to an API; seconds until it has ended."""
        return self._end_and_restart(self.random.choice(self.fleet.apis), signal.SIGTERM)

    def messages_forgotten(self) -> None:
        """Delete all messages: the sweep must send those of waiting jobs again."""
        self.fleet.forget_messages()

    def worker_of_an_older_protocol(self) -> None:
        """A worker is replaced by one that can read none of the jobs, as in the middle of an update."""
        self._replace("older")

    def gpu_of_a_worker_fails(self) -> None:
        """Each job of a worker meets an error of CUDA; it must claim no more when its GPU computes no more."""
        self._replace("gpu")

    def store_refuses_a_worker(self) -> None:
        """Each job of a worker is refused by the store with 403."""
        self._replace("store")

    def disk_of_a_worker_is_full(self) -> None:
        """No job of a worker fits its disk."""
        self._replace("disk")

    def child_cannot_be_killed(self) -> float:
        """A process of a job is traced, so that SIGKILL does not remove it, and stopped; its worker is told to end."""
        worker = self.random.choice(self.fleet.workers)
        child = next((pid for pid, depth in descendants(worker.pid) if depth == 2), None)
        if child is None:
            raise Missed
        try:
            with kept_by_the_kernel(child):
                os.kill(child, signal.SIGSTOP)
                return self._end_and_restart(worker, signal.SIGTERM)
        except ProcessLookupError:  # it has just ended by itself
            raise Missed from None

    def redis_killed(self) -> None:
        """SIGKILL to Redis, which keeps no log and so loses its messages."""
        assert self.fleet.redis
        self.fleet.redis.stop(signal.SIGKILL)
        self._pause()
        self.fleet.redis.start()

    def postgres_stopped(self) -> None:
        """Immediate stop of PostgreSQL, which breaks every open transaction."""
        assert self.fleet.postgres
        self.fleet.postgres.stop(IMMEDIATE)
        self._pause()
        self.fleet.postgres.start()

    def postgres_frozen(self) -> None:
        """Stop PostgreSQL for a time: nobody can beat, and no worker may be taken for dead because of it."""
        assert self.fleet.postgres
        assert self.fleet.postgres.process
        pid = self.fleet.postgres.process.pid
        self._freeze([pid, *(child for child, _ in descendants(pid))], PAUSE_LEASES)

    def all_killed(self) -> None:
        """Kill everything at once, as when the power fails (but all that was written stays)."""
        for part in self.fleet.parts:
            os.kill(part.pid, signal.SIGSTOP)  # no process can notice the end of another one
        for part in self.fleet.parts:
            part.end(signal.SIGKILL)
        for server, how in ((self.fleet.postgres, IMMEDIATE), (self.fleet.redis, signal.SIGKILL)):
            if server:
                server.stop(how)
                server.start()
        self._pause()
        for part in self.fleet.parts:
            part.start()

    def _replace(self, trouble: str) -> None:
        """Let a worker in trouble take the place of a worker for some leases."""
        worker = self.random.choice(self.fleet.workers)
        worker.end(signal.SIGTERM)
        troubled = replace(
            worker,
            command=[word if word != "worker" else "benchmarks.soak.troubled_worker" for word in worker.command],
            environment={**worker.environment, TROUBLE: trouble},
        )
        troubled.start()
        time.sleep(self.random.uniform(*ZOMBIE_LEASES) * self.fleet.settings.lease_s)
        troubled.end(signal.SIGTERM)
        worker.start()

    def _end_and_restart(self, part: Part, how: signal.Signals) -> float:
        """End a part and start it again after up to two seconds; the seconds that it took to end."""
        start = time.monotonic()
        part.end(how)
        exit_s = time.monotonic() - start
        self._pause()
        part.start()
        return exit_s

    def _kill_at_depth(self, wanted: int) -> None:
        """Kill the descendants of a random worker at a depth; raises `Missed` if there are none."""
        worker = self.random.choice(self.fleet.workers)
        pids = [pid for pid, depth in descendants(worker.pid) if depth == wanted]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not pids:
            raise Missed

    def _freeze(self, pids: list[int], leases: tuple[float, float]) -> None:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number == signal.SIGSTOP:
                time.sleep(self.random.uniform(*leases) * self.fleet.settings.lease_s)

    def _pause(self) -> None:
        time.sleep(self.random.uniform(0, 2))
