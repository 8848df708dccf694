"""Which engine computes a net: measured once on a machine, and remembered there."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile

import torch

from ml.faults import Fault, InputRefused
from ml.nn.prediction.engines import pytorch
from ml.nn.prediction.engines.engine import Engine
from ml.nn.prediction.engines.machine import folder

ROUNDS = 3
_chosen: dict[str, str] = {}  # in this process, by fingerprint


@cache
def installed() -> dict[str, Engine]:
    """The engines that work on this machine's CPU, by name; "torch" always does."""
    engines = {pytorch.ENGINE.name: pytorch.ENGINE}
    for optional in ("ncnn", "native"):
        with suppress(ImportError):
            engine = import_module(f"ml.nn.prediction.engines.{optional}").ENGINE
            engines[engine.name] = engine
    return engines


def choose(wanted: str, kind: str, some_work: Callable[[Engine], Callable[[], object]]) -> Engine:
    """The engine for float32 nets of a `kind` on this machine's CPU.

    wanted: its name, or "auto" for the fastest. some_work: a typical piece of such a net's work, done by an engine;
    it is called in turns until one is known to be the fastest.

    Raises:
        InputRefused: code `no_engine`, it is not installed.
    """
    engines = installed()
    if wanted == "auto":
        return engines[_remembered(kind, lambda: {name: some_work(engine) for name, engine in engines.items()})]
    if wanted not in engines:
        detail = f"The engine {wanted!r} is not installed on this machine."
        raise InputRefused(Fault("no_engine", detail, f"Take one of: auto, {', '.join(engines)}.", "/engine"))
    return engines[wanted]


def _remembered(kind: str, contenders: Callable[[], Mapping[str, Callable[[], object]]]) -> str:
    """What was measured first on this machine counts for all its processes: the same net gives the same bits."""
    if len(installed()) == 1:
        return next(iter(installed()))
    key = _fingerprint(kind)
    if key not in _chosen:
        path = folder("engines") / key
        if not path.exists():
            _chosen[key] = _fastest(contenders())
            with suppress(OSError):  # no room, or a home that cannot be written: this process remembers
                _publish(path, _chosen[key])
        with suppress(OSError):
            _chosen[key] = path.read_text()
    return _chosen[key]


def _fastest(contenders: Mapping[str, Callable[[], object]]) -> str:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):  # in turns: what else the machine does slows all alike
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return min(seconds, key=lambda name: median(seconds[name]))


def _publish(path: Path, name: str) -> None:
    """Write `name` to `path` unless another process was first; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent) as file:
        file.write(name)
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)


def _fingerprint(kind: str) -> str:
    """Of what decides the measurement: machine, threads, versions, net."""
    engines = [(engine.name, engine.version) for engine in installed().values()]
    parts = platform.node(), platform.machine(), os.cpu_count(), torch.get_num_threads(), engines, kind
    return sha256(repr(parts).encode()).hexdigest()[:16]
