"""Our C, compiled on the machine that runs it, for just its CPU: once, and kept in the user's cache folder."""

import ctypes
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ml.nn.prediction.engines.machine import c_compiler, folder

FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared")
LONGEST_S = 120


def load(source: Path, *definitions: str) -> tuple[ctypes.CDLL, str]:
    """The functions of `source`, whose calls let other threads run meanwhile, and a name for just this code and CPU.

    definitions: of the preprocessor, like "LANES=4".

    Raises:
        ImportError: there is no compiler, or it cannot compile `source`.
    """
    compiler = c_compiler()
    if not shutil.which(compiler[0]):
        raise ImportError(f"there is no C compiler {compiler[0]}")
    command = [*compiler, *FLAGS, *(f"-D{definition}" for definition in definitions)]
    name = sha256(repr((source.read_bytes(), command, _cpu())).encode()).hexdigest()[:16]
    library = f"{source.stem}-{name}.so"
    with suppress(OSError):  # it is not there, half a file, or of another system
        return ctypes.CDLL(str(folder("compiled") / library)), name
    with suppress(OSError):  # no room, or a home that cannot be written
        return _built(source, command, folder("compiled") / library), name
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return _built(source, command, Path(scratch) / library), name
        except OSError as error:
            raise ImportError(f"what was compiled cannot be loaded: {error}") from error


def _built(source: Path, command: list[str], library: Path) -> ctypes.CDLL:
    """Compile `library`, whole or not at all, whoever else does the same, and load it."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        try:
            command = [*command, "-o", str(made), str(source)]
            subprocess.run(command, check=True, capture_output=True, timeout=LONGEST_S)
        except subprocess.SubprocessError as error:
            raise ImportError(f"the C compiler failed: {error}") from error
        made.replace(library)
    return ctypes.CDLL(str(library))


def _cpu() -> str:
    """What it can do: a home folder may be shared by machines."""
    with suppress(OSError):
        return next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    return f"{platform.node()} {platform.machine()} {platform.processor()}"
