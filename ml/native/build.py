"""Compilation of `native.c`, for families of CPUs as part of a wheel, or for the CPU of this machine.

The following command compiles all libraries for which this machine has a compiler into the folder `prebuilt`, and
prints which ones it leaves out. It needs only Python's standard library.

    python ml/native/build.py
"""

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

SOURCE = Path(__file__).with_name("native.c")
PREBUILT = Path(__file__).with_name("prebuilt")
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-s")
TIMEOUT_S = 120


@dataclass(frozen=True)
class Target:
    """A library for a family of CPUs under Linux.

    machine: Name of the CPU architecture, as `platform.machine` returns it.
    family: Name of the family of CPUs, as GCC's option -march takes it.
    lanes: Number of float32 values in a vector.
    """

    machine: str
    family: str
    lanes: int

    @cached_property
    def path(self) -> Path:
        """Path of the library. Its name contains a hash of the code, so that an older library is never loaded."""
        code = sha256(repr((SOURCE.read_bytes(), FLAGS)).encode()).hexdigest()[:8]
        return PREBUILT / f"{SOURCE.stem}-{self.family}-{self.lanes}-{code}.so"

    @property
    def compiler(self) -> list[str]:
        """Command of this machine's C compiler or of Debian's cross compiler for the target; it may not exist."""
        here = sys.platform == "linux" and platform.machine() == self.machine
        return c_compiler() if here else [f"{self.machine}-linux-gnu-gcc"]


# The best target comes first. With 4 lanes, x86-64-v3 is faster than x86-64-v2, and x86-64-v4 is not faster still.
TARGETS = (
    Target("x86_64", "x86-64-v4", 16),
    Target("x86_64", "x86-64-v3", 8),
    Target("x86_64", "x86-64-v3", 4),
    Target("x86_64", "x86-64-v2", 4),
    Target("aarch64", "armv8-a", 4),
)


def c_compiler() -> list[str]:
    """Return the command in the environment variable CC, else `cc`; the compiler may not exist."""
    return shlex.split(os.environ.get("CC") or "cc")


def cache_folder() -> Path:
    """Return the folder of libraries compiled for this machine, which may not exist.

    It follows the XDG Base Directory Specification.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canemap" / "compiled"


def command(compiler: list[str], family: str, lanes: int | None = None) -> list[str]:
    """Return the command that compiles `native.c`, without source and output.

    family: Family of CPUs for -march; "native" means the CPU of this machine.
    lanes: Number of float32 values in a vector; None means as many as the CPU supports.
    """
    return [*compiler, *FLAGS, f"-march={family}", *([f"-DLANES={lanes}"] if lanes else [])]


def compile_to(library: Path, command: list[str]) -> None:
    """Compile `native.c` with `command` to the file `library`, which appears only when it is complete.

    Several processes may compile the same file at the same time.

    Raises:
        OSError: the compiler does not exist, or the file cannot be written.
        subprocess.SubprocessError: the compiler failed, or took longer than `TIMEOUT_S`.
    """
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        compiled = Path(scratch) / library.name
        subprocess.run([*command, str(SOURCE), "-o", str(compiled)], check=True, capture_output=True, timeout=TIMEOUT_S)
        compiled.replace(library)


def main() -> None:
    """Compile the libraries that are missing in the folder `prebuilt`, and remove those of older code."""
    PREBUILT.mkdir(exist_ok=True)
    for outdated in {*PREBUILT.glob("*.so")} - {target.path for target in TARGETS}:
        outdated.unlink()
    for target in TARGETS:
        if not target.path.exists():
            try:
                compile_to(target.path, command(target.compiler, target.family, target.lanes))
            except (OSError, subprocess.SubprocessError) as error:
                print(f"left out: {target.path.name}: {error}")


if __name__ == "__main__":
    main()
