"""What made a result: code, libraries and processor, which decide its bits together with what computed its net."""

import hashlib
import platform
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("numpy", "rasterio", "pyproj", "shapely", "scipy", "torch")
# sets of instructions by which libraries choose how they add and multiply, as Linux calls them
_INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


@cache
def software() -> dict[str, str]:
    """By name: canemap, `code` (a fingerprint of the sources of `ml`), python, the libraries, and the processor.

    The processor is `machine` (its architecture), `cpu` (its model) and `instructions` (those of its sets that matter).
    """
    libraries = {name: version(name) for name in LIBRARIES}
    ours = {"canemap": version("canemap"), "code": _fingerprint(), "python": platform.python_version()}
    return ours | {"machine": platform.machine()} | _processor() | libraries


def all_of(made_by: Iterable[dict[str, str]]) -> dict[str, str]:
    """What made a result of which several machines made a part: by name all that they had, joined by " + "."""
    found: dict[str, set[str]] = {}
    for each in made_by:
        for name, value in each.items():
            found.setdefault(name, set()).update(value.split(" + "))
    return {name: " + ".join(sorted(values)) for name, values in found.items()}


def _processor() -> dict[str, str]:
    facts: dict[str, str] = {}
    with suppress(OSError):  # there is such a file on Linux alone
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    there = (facts.get("flags") or facts.get("Features") or "").split()
    model = facts.get("model name") or platform.processor() or "unknown"
    return {"cpu": model, "instructions": " ".join(name for name in _INSTRUCTIONS if name in there) or "unknown"}


def _fingerprint() -> str:
    """Of all sources of this package: a version number does not change with each edit."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".c")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
