"""What the environment says of a machine: where its user keeps what was found out, and which C compiler there is."""

import os
import shlex
from pathlib import Path


def folder(name: str) -> Path:
    """By the XDG Base Directory Specification; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canemap" / name


def c_compiler() -> list[str]:
    """The command $CC, else cc; it need not exist."""
    return shlex.split(os.environ.get("CC") or "cc")
