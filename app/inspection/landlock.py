"""Landlock: a process of Linux gives up all files but a few, and TCP, for ever. It needs no privilege.

The kernel must be 5.13 or newer, and must have been built and started with Landlock. Later kernels can forbid more.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # system calls, with the same numbers on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVS = 38  # of prctl

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_FILE, _TRUNCATE, _IOCTL_DEVICE = 1 << 5, 1 << 8, 1 << 14, 1 << 15
_ALL_FILES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of rights to files by version; later versions have no more
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE  # the others are rights to folders
_MAKE_DEVICES = 1 << 6 | 1 << 11
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11  # bind and connect; abstract Unix sockets and signals of processes outside
_CONNECT, _PORT = 1 << 1, 2
_TCP_SINCE, _SCOPES_SINCE = 4, 6
RENAMES_SINCE = 2  # before this version no file can be moved to another folder

READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE  # programs, which have the same walls
WRITE = READ | _WRITE_FILE | _TRUNCATE | _MAKE_FILE | _REMOVE_FILE  # files alone, no folders
OWN = (1 << max(_ALL_FILES.values())) - 1 & ~(_EXECUTE | _MAKE_DEVICES | _IOCTL_DEVICE)
DEVICE = READ | _WRITE_FILE | _IOCTL_DEVICE


@dataclass(frozen=True)
class Rule:
    """Rights to a file, or to a folder with all that it contains. rights: `READ`, `RUN`, `WRITE`, `OWN`, `DEVICE`."""

    path: Path
    rights: int


def version() -> int:
    """The version of Landlock that the kernel has; 0 if it has none."""
    return max(0, _call(_CREATE, None, 0, _VERSION)) if sys.platform == "linux" else 0


def restrict(rules: Iterable[Rule], ports: Collection[int] | None = ()) -> bool:
    """Limit the calling thread, and all that it starts, for ever to some files and to some ports of TCP.

    rules: What stays allowed. Files that do not exist, or that this process cannot reach, are ignored.
    ports: Ports to which a connection can be made, on any machine; None allows all TCP.

    Returns False, and does nothing, if the kernel has no Landlock. Raises `OSError` if it fails otherwise.
    """
    found = version()
    if not found:
        return False
    files = (1 << _ALL_FILES[min(found, max(_ALL_FILES))]) - 1
    walls = _checked(_call(_CREATE, *_described(found, files, tcp=ports is not None), 0))
    try:
        for rule in rules:
            _allow(walls, rule.path, rule.rights & files)
        for port in ports if ports and found >= _TCP_SINCE else ():
            _checked(_call(_ADD_RULE, walls, _PORT, struct.pack("=2Q", _CONNECT, port), 0))
        _checked(_libc().prctl(_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))
        _checked(_call(_RESTRICT, walls, 0))
    finally:
        os.close(walls)
    return True


def _described(found: int, files: int, *, tcp: bool) -> tuple[bytes, int]:
    """The kernel's `struct landlock_ruleset_attr` and its size: all that is forbidden unless a rule allows it."""
    parts = [files]
    if found >= _TCP_SINCE:
        parts.append(_ALL_TCP if tcp else 0)
    if found >= _SCOPES_SINCE:
        parts.append(_ALL_SCOPES)
    return struct.pack(f"={len(parts)}Q", *parts), 8 * len(parts)


def _allow(walls: int, path: Path, rights: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = rights if path.is_dir() else rights & _OF_FILES
            _checked(_call(_ADD_RULE, walls, _PATH_BENEATH, struct.pack("=Qi", allowed, beneath), 0))
        finally:
            os.close(beneath)


def _call(number: int, *arguments: int | bytes | None) -> int:
    plain = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result: int = _libc().syscall(ctypes.c_long(number), *plain)
    return result


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
