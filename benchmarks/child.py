"""One call in a process of its own, and what it cost: seconds, start-up, peak memory.

    python -m benchmarks.child MODULE FUNCTION ARGUMENTS

is what `in_child` starts; it prints a line of JSON. A process that starts another passes its own peak memory on (Linux
counts from the fork), so whoever calls `in_child` imports little: no torch, and nothing of canemap's, which tunes GDAL
for the process that imports it.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WATCH_S = 1.0  # counting pages stops the process that has them
_BYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


@dataclass(frozen=True)
class Run:
    """What a call returned and cost.

    value: as JSON gives it back. seconds: of the call, after imports. start_up_s: from the start of the process to
    that of the call. net_s: seconds spent in the U-Net's forward, None if not asked for or none was called.
    peak_mb: largest resident set, in 10^6 bytes, of the process or of one that it started, or of all that it forked
    together with it, looked at each second.
    """

    value: Any
    seconds: float
    start_up_s: float
    net_s: float | None
    peak_mb: float


def in_child(
    module: str,
    function: str,
    arguments: Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    net_clock: bool = False,
    root: Path = ROOT,
    python: str = sys.executable,
) -> Run:
    """Call `module.function(**arguments)`, all of it JSON, in a new process with variables added to its environment.

    root: the checkout that it belongs to. python: the interpreter, which need not know that checkout.

    Raises:
        ChildProcessError: the call failed; what it wrote to stderr stands in the message.
    """
    variables = os.environ | {"PYTHONPATH": str(root)} | dict(environment or {})
    call = {"arguments": dict(arguments), "net_clock": net_clock, "started": time.time()}
    command = [python, "-m", "benchmarks.child", module, function, json.dumps(call)]
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(f"{module}.{function} failed:\n{done.stderr}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _main() -> None:
    module, function, call = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    work = getattr(importlib.import_module(module), function)
    clock = importlib.import_module("benchmarks.net_clock").NetClock() if call["net_clock"] else None
    start_up_s, start = time.time() - call["started"], time.perf_counter()
    with watching_memory() as family:
        value = work(**call["arguments"])
    seconds = time.perf_counter() - start
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    net_s = clock.seconds if clock and clock.seconds else None
    print()  # libraries may have left a line unfinished
    print(json.dumps(asdict(Run(value, seconds, start_up_s, net_s, max(peak * _BYTES, *family) / 1e6))))


@contextmanager
def watching_memory() -> Iterator[list[float]]:
    """Bytes that this process and its children had together now and then, what they share counted once; Linux only."""
    seen, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            seen.append(sum(map(proportional_bytes, (os.getpid(), *(each.pid or 0 for each in active_children())))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def proportional_bytes(pid: int) -> float:
    """The memory of a process; of a page that several have, its share. 0 for one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    _main()
