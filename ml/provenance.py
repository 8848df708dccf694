"""The software and the processor that made a result; with the engine of the net they determine its exact bits."""

import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

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


def _fingerprint() -> str:
    """A hash of all sources of this package, since a version number does not change with each edit."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".c")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
