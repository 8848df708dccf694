"""Compiles `native.c`: for families of CPUs, to be part of a wheel, or for the CPU of this machine.

    python ml/native/build.py

fills the folder `prebuilt` with all that the C compilers of this machine can make, and says what it leaves out. It
needs Python alone.
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
LONGEST_S = 120


@dataclass(frozen=True)
class Target:
    """A library for a family of CPUs that run Linux.

    machine: the architecture, as `platform.machine` says it. family: the name of the family, as GCC's -march takes it.
    lanes: how many numbers a vector holds.
    """

    machine: str
    family: str
    lanes: int

    @cached_property
    def path(self) -> Path:
        """Where the library lies. Its name changes with the code, so that an older one is never loaded."""
        code = sha256(repr((SOURCE.read_bytes(), FLAGS)).encode()).hexdigest()[:8]
        return PREBUILT / f"{SOURCE.stem}-{self.family}-{self.lanes}-{code}.so"

    @property
    def compiler(self) -> list[str]:
        """The command of a C compiler for this machine or of Debian's cross compiler; it need not exist."""
        here = sys.platform == "linux" and platform.machine() == self.machine
        return c_compiler() if here else [f"{self.machine}-linux-gnu-gcc"]


# The best first. The layers of 4 lanes gain by the instructions of x86-64-v3 what x86-64-v4 would not add.
TARGETS = (
    Target("x86_64", "x86-64-v4", 16),
    Target("x86_64", "x86-64-v3", 8),
    Target("x86_64", "x86-64-v3", 4),
    Target("x86_64", "x86-64-v2", 4),
    Target("aarch64", "armv8-a", 4),
)


def c_compiler() -> list[str]:
    """The command $CC, else cc; it need not exist."""
    return shlex.split(os.environ.get("CC") or "cc")


def cache_folder() -> Path:
    """Where libraries for the CPU of this machine are kept, by the XDG Base Directory Specification; may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canemap" / "compiled"


def command(compiler: list[str], family: str, lanes: int | None = None) -> list[str]:
    """How to compile for a family of CPUs, "native" for this one; lanes: None takes as many as a vector can hold."""
    return [*compiler, *FLAGS, f"-march={family}", *([f"-DLANES={lanes}"] if lanes else [])]


def compile_to(library: Path, command: list[str]) -> None:
    """Compile `native.c` by `command`: the file `library` is made whole or not at all, whoever else does the same.

    Raises:
        OSError: there is no such compiler, or the file cannot be written.
        subprocess.SubprocessError: the compiler failed.
    """
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        subprocess.run([*command, str(SOURCE), "-o", str(made)], check=True, capture_output=True, timeout=LONGEST_S)
        made.replace(library)


def main() -> None:
    """Make what is missing in the folder `prebuilt`, and remove what older code left there."""
    PREBUILT.mkdir(exist_ok=True)
    for other in {*PREBUILT.glob("*.so")} - {target.path for target in TARGETS}:
        other.unlink()
    for target in TARGETS:
        if not target.path.exists():
            try:
                compile_to(target.path, command(target.compiler, target.family, target.lanes))
            except (OSError, subprocess.SubprocessError) as error:
                print(f"left out: {target.path.name}: {error}")


if __name__ == "__main__":
    main()
