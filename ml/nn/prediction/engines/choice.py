"""Which engine computes a net."""

from functools import cache

from ml.faults import Fault, InputRefused
from ml.native import library
from ml.nn.prediction.engines import pytorch
from ml.nn.prediction.engines.engine import Engine
from ml.nn.prediction.engines.native import native


@cache
def installed() -> dict[str, Engine]:
    """The engines that work on this machine's CPU, by name, the fastest first; "torch" always does."""
    ours = library.find()
    engines = ([native(ours)] if ours else []) + [pytorch.ENGINE]
    return {engine.name: engine for engine in engines}


def choose(wanted: str) -> Engine:
    """The engine for float32 nets on this machine's CPU; wanted: its name, or "auto" for the fastest.

    Raises:
        InputRefused: code `no_engine`, it is not installed.
    """
    engines = installed()
    if wanted == "auto":
        return next(iter(engines.values()))
    if wanted not in engines:
        detail = f"The engine {wanted!r} is not installed on this machine."
        raise InputRefused(Fault("no_engine", detail, f"Take one of: auto, {', '.join(engines)}.", "/engine"))
    return engines[wanted]
