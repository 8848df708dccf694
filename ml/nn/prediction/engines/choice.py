"""The choice of the engine that computes a net."""

from functools import cache

from ml.faults import Fault, InputRefused
from ml.native import library
from ml.nn.prediction.engines import pytorch
from ml.nn.prediction.engines.engine import Engine
from ml.nn.prediction.engines.native import native


@cache
def installed() -> dict[str, Engine]:
    """Return the engines that work on this machine's CPU, by name, the fastest first; "torch" is always among them."""
    own = library.find()
    engines = ([native(own)] if own else []) + [pytorch.ENGINE]
    return {engine.name: engine for engine in engines}


def choose(name: str) -> Engine:
    """Return the engine for float32 nets on this machine's CPU.

    name: Name of the engine, or "auto" for the fastest.

    Raises:
        InputRefused: code `no_engine`: the engine is not installed.
    """
    engines = installed()
    if name == "auto":
        return next(iter(engines.values()))
    if name not in engines:
        detail = f"The engine {name!r} is not installed on this machine."
        raise InputRefused(Fault("no_engine", detail, f"Set engine to one of: auto, {', '.join(engines)}.", "/engine"))
    return engines[name]
