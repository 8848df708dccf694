"""The software and the processor that made a result; with the engine of the net they determine its exact bits."""

import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

# names under which stand the precision and the device of scores
SCORE_PRECISION, SCORE_DEVICE = "score_precision", "score_device"
LIBRARIES = ("numpy", "rasterio", "pyproj", "shapely", "scipy", "torch")
# instruction sets, by their names in Linux, by which libraries choose how to add and multiply
_INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


@cache
def software() -> dict[str, str]:
    """Versions by name: canemap, `code` (a fingerprint of the sources of `ml`), python, the libraries, the processor.

    The processor has three entries: `machine` is its architecture, `cpu` its model, and `instructions` lists its
    instruction sets, as far as results depend on them.
    """
    libraries = {name: version(name) for name in LIBRARIES}
    ours = {"canemap": version("canemap"), "code": _fingerprint(), "python": platform.python_version()}
    return ours | {"machine": platform.machine()} | _processor() | libraries


# what of the software and hardware that made rows of a map decides their pixels to the bit
_PIXELS = ("engine", "precision", "device", "rows", "processes", "threads", "views", "torch", "net_code")


def signature(made_by: dict[str, str]) -> tuple[str, ...]:
    """How the rows of a map were computed: rows with equal signatures have the bits of one machine.

    made_by: What `ml.nn.prediction.predict.predict_rows` says made them. Rows of an older version have other
        signatures, since it said less.
    """
    return tuple(made_by.get(name, "") for name in _PIXELS)


def scored_in(made_by: dict[str, str]) -> tuple[str, str]:
    """The precision and the device in which a net was scored.

    Older versions did not say it: they scored in float32 on a CPU, and on a GPU in what it was fastest in, "unknown".
    """
    device = made_by.get(SCORE_DEVICE) or made_by.get("device", "cpu")
    return made_by.get(SCORE_PRECISION) or ("float32" if device == "cpu" else "unknown"), device


@cache
def net_code() -> str:
    """A fingerprint of the sources that read pixels and compute a net."""
    return _fingerprint("nn", "native", "radiometry")


def all_of(made_by: Iterable[dict[str, str]]) -> dict[str, str]:
    """Provenance of a result that several machines made: by name, all different values, sorted and joined by " + "."""
    found: dict[str, set[str]] = {}
    for each in made_by:
        for name, value in each.items():
            found.setdefault(name, set()).update(value.split(" + "))
    return {name: " + ".join(sorted(values)) for name, values in found.items()}


@cache
def cpuinfo() -> dict[str, str]:
    """The facts that Linux states about the first processor, by their names there; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _processor() -> dict[str, str]:
    facts = cpuinfo()
    there = (facts.get("flags") or facts.get("Features") or "").split()
    model = facts.get("model name") or platform.processor() or "unknown"
    return {"cpu": model, "instructions": " ".join(name for name in _INSTRUCTIONS if name in there) or "unknown"}


def _fingerprint(*folders: str) -> str:
    """A hash of all sources of this package, or of some folders: a version number does not change with each edit."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    of = [folder / name for name in folders] or [folder]
    for path in sorted(path for each in of for path in each.rglob("*") if path.suffix in (".py", ".c")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
