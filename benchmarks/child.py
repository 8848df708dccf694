"""Calls a function in a new process and measures seconds, start-up time and peak memory.

    python -m benchmarks.child MODULE FUNCTION ARGUMENTS

is the command that `in_child` starts; it prints a line of JSON. A new process inherits the peak memory of the process
that starts it (Linux counts from the fork), so modules that call `in_child` import little: no torch, and nothing of
canemap, which configures GDAL for the process that imports it.
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
WATCH_S = 1.0  # not more often: counting pages stops the process that has them
_BYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


@dataclass(frozen=True)
class Measured:
    """What a call returned and cost.

    value: What the function returned, after a round trip through JSON. seconds: Duration of the call, after imports.
    start_up_s: Seconds from the start of the process to the start of the call. net_s: Seconds in the forward of the
    U-Net; None if they were not measured or no U-Net was called. peak_mb: Largest resident set in 10^6 bytes: of the
    process, of a process that it started, or of it and all its forked processes together, measured each second.
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
) -> Measured:
    """Call `module.function(**arguments)` in a new process; arguments and result must be JSON.

    environment: Variables that are added to the environment. net_clock: Measure the seconds in the U-Net. root: The
    checkout whose code is called. python: The interpreter; that checkout need not be installed in it.

    Raises:
        ChildProcessError: The call failed; the message has what it wrote to stderr.
    """
    variables = os.environ | {"PYTHONPATH": str(root)} | dict(environment or {})
    call = {"arguments": dict(arguments), "net_clock": net_clock, "started": time.time()}
    command = [python, "-m", "benchmarks.child", module, function, json.dumps(call)]
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(f"{module}.{function} failed:\n{done.stderr}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


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
    print()  # a library may have printed an unfinished line
    print(json.dumps(asdict(Measured(value, seconds, start_up_s, net_s, max(peak * _BYTES, *family) / 1e6))))


@contextmanager
def watching_memory() -> Iterator[list[float]]:
    """Memory of this process and its children together, sampled each second, in bytes; shared pages count once.

    On other systems than Linux all samples are 0.
    """
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
    """Memory of a process in bytes, with its share of each shared page; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    _main()
