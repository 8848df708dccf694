"""Which engine computes which level of a net: measured once on a machine, and remembered there."""

import json
import os
import platform
import time
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile

import torch
from torch import nn

from ml.faults import Fault, InputRefused
from ml.nn.engines import pytorch
from ml.nn.engines.engine import Engine

SIZE = 66, 514  # rows and columns of the finest level that are measured
ROUNDS = 5


@cache
def installed() -> dict[str, Engine]:
    """The engines that work on this machine's CPU, by name; "torch" always does."""
    engines = {pytorch.ENGINE.name: pytorch.ENGINE}
    try:
        from ml.nn.engines import winograd
    except ImportError:
        return engines
    return engines | {winograd.ENGINE.name: winograd.ENGINE}


def choose(width: int, depth: int, wanted: str = "auto") -> list[Engine]:
    """An engine for each level, from the finest, of a float32 U-Net on this machine's CPU.

    wanted: "auto", the fastest for each level; or the name of one for all.

    Raises:
        InputRefused: code `no_engine`, it is not installed.
    """
    engines = installed()
    if wanted == "auto":
        return [engines[name] for name in remembered(width, depth)]
    if wanted not in engines:
        detail = f"The engine {wanted!r} is not installed on this machine."
        raise InputRefused(Fault("no_engine", detail, f"Take one of: auto, {', '.join(engines)}.", "/engine"))
    return [engines[wanted]] * (depth + 1)


@cache
def remembered(width: int, depth: int) -> list[str]:
    """What was measured first on this machine counts for all its processes: the same net gives the same bits."""
    if len(installed()) == 1:
        return [*installed()] * (depth + 1)
    path = folder() / f"{_fingerprint(width, depth)}.json"
    if path.exists():
        names: list[str] = json.loads(path.read_text())
        return names
    measured = [_fastest(width << level, level) for level in range(depth + 1)]
    try:
        _publish(path, measured)
        names = json.loads(path.read_text())
    except OSError:  # no room, or a home that cannot be written: this process remembers
        return measured
    return names


def _fastest(channels: int, level: int) -> str:
    """The engine that convolves `channels` to as many the fastest; level: of the net, by which the image is smaller."""
    rows, cols = ((size - 2 >> level) + 2 for size in SIZE)
    window = torch.randn(1, channels, rows, cols)
    layer = nn.Conv2d(channels, channels, 3).requires_grad_(False)
    contenders = {name: (engine.prepare(layer), engine) for name, engine in installed().items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with torch.inference_mode():
        for _ in range(ROUNDS):  # in turns: what else the machine does slows all alike
            for name, (convolve, engine) in contenders.items():
                ready = window.contiguous(memory_format=engine.memory_format)
                start = time.perf_counter()
                convolve(ready)
                seconds[name].append(time.perf_counter() - start)
    return min(seconds, key=lambda name: median(seconds[name]))


def _publish(path: Path, names: list[str]) -> None:
    """Write `names` to `path` unless another process was first; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent) as file:
        json.dump(names, file)
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)


def folder() -> Path:
    """By the XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canemap" / "engines"


def _fingerprint(width: int, depth: int) -> str:
    """Of what decides the measurement: machine, threads, versions, net."""
    versions = [version(name) for name in installed()]
    parts = platform.node(), platform.machine(), os.cpu_count(), torch.get_num_threads(), versions, width, depth
    return sha256(repr(parts).encode()).hexdigest()[:16]
