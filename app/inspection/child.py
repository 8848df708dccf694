"""What happens in a child process: it gives up everything that the task does not need, does it, and answers.

An answer is a word, a line feed and a text: "result" and its JSON, "faults" and their JSON, "limit" and "memory" or
"room" on the disk, or "error" and a traceback.
"""

import os
import signal
import socket
import traceback
from contextlib import suppress
from typing import Annotated, NoReturn

from pydantic import Field, TypeAdapter

from app.core.room import says_no_room
from app.inspection import landlock
from app.inspection.forking import LIBRARIES_STAY
from app.inspection.landlock import READ, WRITE, Rule
from app.inspection.libraries import libraries, source
from app.inspection.tasks import Order
from app.inspection.warm_up import warm_up
from ml.faults import MOST_FAULTS, Fault, InputRefused

ERROR_CHARACTERS = 8000
FAULTS: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(
    Annotated[tuple[Fault, ...], Field(min_length=1, max_length=MOST_FAULTS)]
)


def run(door: socket.socket) -> NoReturn:
    """Wait for an order, do it within its limits, answer and end this process, which was forked a moment ago.

    door: Where the connection to whoever asks comes from. No other open file may belong to anybody else.
    """
    status = 1
    with suppress(BaseException):
        _leave_the_server()
        if not LIBRARIES_STAY:
            warm_up()
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
    readable = (*order.readable, *source("app", "ml"), *libraries())
    landlock.restrict([*(Rule(path, READ) for path in readable), *(Rule(path, WRITE) for path in order.writable)])
