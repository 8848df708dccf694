"""Commands of canemap, as processes that need not import everything anew: they are forked from one that has.

What a command imports takes from half a second of CPU to two, and tests run hundreds of commands. What the start of a
process decides is tested with processes that are started, in `tests/app/core/test_startup.py` and others.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# not `app.cli`, which looks at the environment when it is imported
IMPORTED = (
    "app.core.calm_start",
    "app.access.keys",
    "app.api.documents",
    "app.client",
    "app.core.db",
    "app.upkeep.scrubbing",
    "rich.markdown",
    "typer.rich_utils",
)


def run(*arguments: str | Path, env: Mapping[str, str], cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `canemap` with these arguments; returns its exit code and what it wrote. env: Its whole environment."""
    with (
        Path(os.devnull).open() as nothing,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
    ):
        streams = [nothing.fileno(), out.fileno(), errors.fileno()]
        code = ask(server(), [str(argument) for argument in arguments], env, cwd or Path.cwd(), streams)
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), errors.read())


@cache
def server() -> Path:
    """The socket at which the process listens from which commands are forked. It ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="canemap-")
    place, pipe = Path(folder.name) / "commands", subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-m", __name__, place], cwd=ROOT, stdin=pipe, stdout=pipe)

    def end() -> None:
        with process:  # closes its stdin, and waits for it
            folder.cleanup()

    atexit.register(end)
    assert process.stdout and process.stdout.readline() == b"ready\n"
    return place


def ask(place: Path, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, streams: Sequence[int]) -> int:
    """Have a command run by the process that listens at `place`; returns its exit code. streams: Its 0, 1 and 2."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place))
        socket.send_fds(connection, [b"."], streams)
        connection.sendall(json.dumps([list(arguments), dict(env), str(cwd)]).encode())
        connection.shutdown(socket.SHUT_WR)
        return int(connection.recv(16))


def _accept(listener: socket.socket) -> socket.socket | None:
    """Fork a process for each that connects. Returns the connection in that process, or None when stdin ends."""
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return None
        connection, _ = listener.accept()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            return connection
        connection.close()


def _do(connection: socket.socket) -> None:
    """Do the command that is asked for at `connection`, in a child of this process, which tells how it ended."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile() as request:
        arguments, env, cwd = json.load(request)
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(str(code).encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv[1:] = arguments
    runpy.run_module("app.cli", run_name="__main__", alter_sys=True)


def main(place: str) -> None:
    """Run the commands that are asked for at `place`, until stdin ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        connection = _accept(listener)
    if connection:
        _do(connection)


if __name__ == "__main__":
    main(sys.argv[1])
