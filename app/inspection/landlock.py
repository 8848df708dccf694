"""Landlock: a process of Linux gives up all files but a few, and TCP, for ever. It needs no privilege.

The kernel must be 5.13 or newer, and must have been built and started with Landlock. Later kernels can forbid more.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # system calls, with the same numbers on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVS = 38  # of prctl

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_ALL_FILES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of rights to files by version; later versions have no more
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11  # bind and connect; abstract Unix sockets and signals of processes outside
_TCP_SINCE, _SCOPES_SINCE = 4, 6


def version() -> int:
    """The version of Landlock that the kernel has; 0 if it has none."""
    return max(0, _call(_CREATE, None, 0, _VERSION)) if sys.platform == "linux" else 0


def restrict(readable: Iterable[Path], writable: Iterable[Path] = ()) -> bool:
    """Limit the calling thread, and all that it starts, to some files; it can neither run programs nor use TCP.

    readable: Files and folders that can still be read. Those that do not exist are ignored.
    writable: Folders in which files can be made, written, read and deleted.

    Returns False, and does nothing, if the kernel has no Landlock. Raises `OSError` if it fails otherwise.
    """
    found = version()
    if not found:
        return False
    files = (1 << _ALL_FILES[min(found, max(_ALL_FILES))]) - 1
    rules = _checked(_call(_CREATE, *_described(found, files), 0))
    for path in readable:
        _allow(rules, path, (_READ_FILE | _READ_DIR) & files)
    for path in writable:
        rights = _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE | _MAKE_FILE | _REMOVE_FILE
        _allow(rules, path, rights & files)
    _checked(_libc().prctl(_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))
    _checked(_call(_RESTRICT, rules, 0))
    os.close(rules)
    return True


def _described(found: int, files: int) -> tuple[bytes, int]:
    """The kernel's `struct landlock_ruleset_attr` and its size: all that is forbidden unless a rule allows it."""
    parts = [files]
    if found >= _TCP_SINCE:
        parts.append(_ALL_TCP)
    if found >= _SCOPES_SINCE:
        parts.append(_ALL_SCOPES)
    return struct.pack(f"={len(parts)}Q", *parts), 8 * len(parts)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        allowed = rights if path.is_dir() else rights & ~(_READ_DIR | _MAKE_FILE | _REMOVE_FILE)
        _checked(_call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", allowed, beneath), 0))
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
