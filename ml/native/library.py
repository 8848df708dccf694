"""Which library of our C this machine loads: one that came with canemap, else one that is compiled here, else none.

What came with canemap is as fast as what is compiled for the very CPU, needs no compiler, and gives the same bits on
all CPUs of a family.
"""

import ctypes
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from ml.native.build import SOURCE, TARGETS, Target, c_compiler, cache_folder, command, compile_to

# What a CPU of each family can do at least, in Linux's words (x86-64 psABI, "Micro-Architecture Levels").
_V2 = {"cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"}
_V3 = _V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
_NEEDS: dict[str, set[str]] = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4, "armv8-a": set()}


@dataclass(frozen=True)
class Library:
    """The functions of `native.c`, whose calls let other threads run meanwhile.

    by_lanes: for vectors of so many numbers, the longest first. origin: how it came here and for which CPUs.
    checksum: of the code for the longest vectors, by which equal bits can be expected.
    """

    by_lanes: dict[int, ctypes.CDLL]
    origin: str
    checksum: str


@cache
def find() -> Library | None:
    """The library for this machine; one that has to be compiled takes some seconds, once."""
    return prebuilt(TARGETS) or compiled()


def describe() -> tuple[str, str]:
    """What computes convolutions on this CPU, and how to make that faster ("": it is as fast as can be)."""
    if library := find():
        return f"our own convolutions, {library.origin}", ""
    slow = "PyTorch's convolutions: predictions on this CPU take about 2.5 times as long as with our own"
    return slow, "Install a C compiler (apt-get install gcc libc6-dev), or canemap from a wheel that brings libraries."


def prebuilt(targets: Sequence[Target]) -> Library | None:
    """Those of `targets`, the best first, that came with canemap and that this CPU can run."""
    found: dict[int, tuple[Target, ctypes.CDLL]] = {}
    for target in targets:
        if target.lanes not in found and _runs_here(target):
            with suppress(OSError):  # it was left out of this wheel, or is damaged
                found[target.lanes] = target, ctypes.CDLL(str(target.path))
    if not found:
        return None
    best, _ = next(iter(found.values()))
    by_lanes = {lanes: functions for lanes, (_, functions) in found.items()}
    return Library(by_lanes, f"prebuilt for {best.family}", _checksum(best.path))


def compiled() -> Library | None:
    """What the C compiler of this machine makes for just its CPU, kept in the user's cache folder."""
    try:
        longest, checksum = _compiled()
        shorter = {lanes: _compiled(lanes)[0] for lanes in (8, 4) if lanes < longest.lanes()}
    except (OSError, subprocess.SubprocessError):
        return None
    return Library({longest.lanes(): longest, **shorter}, "compiled for this CPU", checksum)


def _compiled(lanes: int | None = None) -> tuple[ctypes.CDLL, str]:
    """The functions for so many lanes, None for the most, and their checksum.

    Raises:
        OSError, subprocess.SubprocessError: see `compile_to`.
    """
    how = command(c_compiler(), "native", lanes)
    name = sha256(repr((SOURCE.read_bytes(), how, _cpu())).encode()).hexdigest()[:16]
    kept = cache_folder() / f"{SOURCE.stem}-{name}.so"
    with suppress(OSError):  # it is not there, half a file, or of another system
        return _loaded(kept)
    with suppress(OSError):  # no room, or a home that cannot be written
        compile_to(kept, how)
        return _loaded(kept)
    with tempfile.TemporaryDirectory() as scratch:
        compile_to(Path(scratch) / kept.name, how)
        return _loaded(Path(scratch) / kept.name)


def _loaded(library: Path) -> tuple[ctypes.CDLL, str]:
    return ctypes.CDLL(str(library)), _checksum(library)


def _checksum(library: Path) -> str:
    return sha256(library.read_bytes()).hexdigest()[:8]


def _runs_here(target: Target) -> bool:
    here = sys.platform == "linux" and platform.machine() == target.machine
    return here and _NEEDS[target.family] <= {*_cpu().split()}


def _cpu() -> str:
    """What it can do, in the system's words: a home folder may be shared by machines."""
    with suppress(OSError, StopIteration):
        return next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    return f"{platform.node()} {platform.machine()} {platform.processor()}"
