"""What happens in a child process: it gives up everything that the task does not need, does it, and answers.

An answer is a word, a line feed and a text: "result" and its JSON, "faults" and their JSON, "limit" and "memory" or
"room" on the disk, or "error" and a traceback.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

from pydantic import Field, TypeAdapter

import app
from app.core.room import says_no_room
from app.inspection import landlock
from app.inspection.tasks import Order
from app.inspection.warm_up import warm_up
from ml.faults import Fault, InputRefused

_DATA_FOLDERS = ("GDAL_DATA", "PROJ_DATA", "PROJ_LIB")  # where an operator keeps the tables of these libraries
ERROR_CHARACTERS = 8000
FAULTS: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(Annotated[tuple[Fault, ...], Field(min_length=1)])
# beside Python's own folders: libraries, their settings, time zones, and the devices that libraries read
_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/usr/share/proj"),
    *("/usr/share/gdal", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom"),
)


def run(door: socket.socket) -> NoReturn:
    """Wait for an order, do it within its limits, answer and end this process, which was forked a moment ago.

    door: Where the connection to whoever asks comes from. No other open file may belong to anybody else.
    """
    status = 1
    with suppress(BaseException):
        _leave_the_server()
        warm_up()  # now, because PROJ opens its database again after a fork
        conversation = _connection_from(door)
        order = Order.model_validate_json(b"".join(iter(lambda: conversation.recv(1 << 16), b"")))
        conversation.sendall(_answer(order))
        status = 0
    os._exit(status)


def _connection_from(door: socket.socket) -> socket.socket:
    """The connection to whoever asks. Raises `ValueError` if the server has ended."""
    _, (descriptor,), _, _ = socket.recv_fds(door, 1, 1)
    door.close()
    return socket.socket(fileno=descriptor)


def _leave_the_server() -> None:
    """Give up the standard files and the handling of signals, and become the head of a group of processes."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


def _answer(order: Order) -> bytes:
    try:
        _confine(order)
        return b"result\n" + order.task.do().model_dump_json().encode()
    except InputRefused as refused:
        return b"faults\n" + FAULTS.dump_json(refused.faults)
    except MemoryError:
        return b"limit\nmemory"
    except Exception as error:
        if says_no_room(error):
            return b"limit\nroom"
        return b"error\n" + traceback.format_exc()[-ERROR_CHARACTERS:].encode(errors="replace")


def _confine(order: Order) -> None:
    order.limits.apply()
    landlock.restrict([order.task.path, *_libraries()], order.writable)


def _libraries() -> Iterator[Path]:
    """The folders of Python, of the installed packages, and of this package and `ml`; no other folder of the source."""
    here = Path(app.__file__).parents[1]
    yield from (here / "app", here / "ml")
    yield from map(Path, {sys.prefix, sys.base_prefix, *(path for path in sys.path if path.endswith("-packages"))})
    yield from map(Path, _SYSTEM)
    yield from (Path(os.environ[name]) for name in _DATA_FOLDERS if name in os.environ)
