"""The choice of the library of `native.c` that this machine loads.

It is a prebuilt library that came with canemap, else one that is compiled on this machine, else none. A prebuilt
library is as fast as one that is compiled for the CPU, needs no compiler, and computes the same bits on all CPUs of a
family.
"""

import ctypes
import os
import platform
import stat
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
from ml.provenance import cpuinfo

# The CPU flags that Linux must report for each family (x86-64 psABI, "Micro-Architecture Levels").
_V2 = {"cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"}
_V3 = _V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
_REQUIRED_FLAGS: dict[str, set[str]] = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4, "armv8-a": set()}


@dataclass(frozen=True)
class Library:
    """The functions of `native.c`; other threads can run during their calls.

    by_lanes: Functions by the number of float32 values in their vectors, the largest number first.
    origin: How the library was obtained and for which CPUs it was compiled.
    checksum: Checksum of the library with the longest vectors; with the same checksum, results have the same bits.
    """

    by_lanes: dict[int, ctypes.CDLL]
    origin: str
    checksum: str


@cache
def find() -> Library | None:
    """Return the library for this machine, or None. If it must be compiled first, that takes some seconds, once."""
    return prebuilt(TARGETS) or compiled()


def describe() -> tuple[str, str]:
    """Describe what computes convolutions on this CPU, and how to make it faster ("" if it is as fast as possible)."""
    if library := find():
        return f"canemap's own convolutions, {library.origin}", ""
    slow = "PyTorch's convolutions: predictions on this CPU take about 2.5 times as long as with canemap's own"
    return slow, "Install a C compiler (apt-get install gcc libc6-dev), or a canemap wheel with prebuilt libraries."


def prebuilt(targets: Sequence[Target]) -> Library | None:
    """Load the libraries that came with canemap and that this CPU can run, or return None if there are none.

    targets: Libraries to look for, the best first.
    """
    found: dict[int, tuple[Target, ctypes.CDLL]] = {}
    for target in targets:
        if target.lanes not in found and _runs_here(target):
            with suppress(OSError):  # the file is not in this wheel, is damaged, or is not to be trusted
                found[target.lanes] = target, _functions(target.path)
    if not found:
        return None
    best, _ = next(iter(found.values()))
    by_lanes = {lanes: functions for lanes, (_, functions) in found.items()}
    return Library(by_lanes, f"prebuilt for {best.family}", _checksum(best.path))


def compiled() -> Library | None:
    """Compile the library for this CPU into the user's cache folder, or load it from there; None without a compiler."""
    try:
        longest, checksum = _compiled()
        shorter = {lanes: _compiled(lanes)[0] for lanes in (8, 4) if lanes < longest.lanes()}
    except (OSError, subprocess.SubprocessError):
        return None
    return Library({longest.lanes(): longest, **shorter}, "compiled for this CPU", checksum)


def _compiled(lanes: int | None = None) -> tuple[ctypes.CDLL, str]:
    """Load the functions compiled for this CPU and their checksum; compile them if they are not in the cache.

    lanes: Number of float32 values in a vector; None means as many as the CPU supports.

    Raises:
        OSError, subprocess.SubprocessError: see `compile_to`.
    """
    compiler = command(c_compiler(), "native", lanes)
    name = sha256(repr((SOURCE.read_bytes(), compiler, _cpu())).encode()).hexdigest()[:16]
    cached = cache_folder() / f"{SOURCE.stem}-{name}.so"
    with suppress(OSError):  # the file is missing, incomplete, for another system, or not to be trusted
        return _loaded(cached)
    with suppress(OSError):  # the disk is full, or the cache folder is not writable
        compile_to(cached, compiler)
        cached.chmod(0o755)
        return _loaded(cached)
    with tempfile.TemporaryDirectory() as scratch:
        own = Path(scratch) / cached.name
        compile_to(own, compiler)
        own.chmod(0o755)
        return _loaded(own)


def _loaded(library: Path) -> tuple[ctypes.CDLL, str]:
    return _functions(library), _checksum(library)


def _functions(library: Path) -> ctypes.CDLL:
    """Load a library, whose code runs at once.

    Raises:
        OSError: It cannot be loaded, or somebody else than this user and root could have written it.
    """
    status = library.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{library} is not loaded: others can write it")
    return ctypes.CDLL(str(library))


def _checksum(library: Path) -> str:
    return sha256(library.read_bytes()).hexdigest()[:8]


def _runs_here(target: Target) -> bool:
    here = sys.platform == "linux" and platform.machine() == target.machine
    return here and _REQUIRED_FLAGS[target.family] <= {*_cpu().split()}


def _cpu() -> str:
    """Return the flags of this CPU as Linux reports them, else a description of the machine.

    It is part of the name in the cache, because machines may share a home folder.
    """
    return cpuinfo().get("flags") or f"{platform.node()} {platform.machine()} {platform.processor()}"
