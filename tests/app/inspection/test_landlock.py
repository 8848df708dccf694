"""What a process can still do after `restrict`. Each test runs a script in a new process."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.inspection import landlock

ROOT = Path(__file__).resolve().parents[3]
if not landlock.version():
    pytest.skip("the kernel has no Landlock", allow_module_level=True)


def tried(folder: Path, attempt: str) -> str:
    """The last word of a process that may read `folder`/readable and write to `folder`/writable, after `attempt`."""
    for name in ("readable", "writable", "other"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "file").write_text("text")
    script = f"""
import os, socket
from pathlib import Path
from app.inspection.landlock import READ, WRITE, Rule, restrict
from app.inspection.limits import Limits
folder = Path({str(folder)!r})
server = socket.create_server(("127.0.0.1", 0))
Limits(memory_bytes=1 << 30, core_s=10, disk_bytes=1 << 20).apply()
assert restrict([Rule(folder / "readable", READ), Rule(folder / "writable", WRITE)])
try:
    {attempt}
    print("done")
except OSError as error:
    print(type(error).__name__)
"""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


@pytest.mark.parametrize(
    "attempt",
    [
        "(folder / 'readable' / 'file').read_text()",
        "list((folder / 'readable').iterdir())",
        "(folder / 'writable' / 'new').write_text('text'); (folder / 'writable' / 'new').unlink()",
        "(folder / 'writable' / 'file').open('wb').truncate(2)",
    ],
)
def test_what_is_allowed_works(tmp_path: Path, attempt: str) -> None:
    assert tried(tmp_path, attempt) == "done"


@pytest.mark.parametrize(
    "attempt",
    [
        "(folder / 'other' / 'file').read_text()",
        "list(folder.iterdir())",
        "Path('/etc/passwd').read_text()",
        "Path(f'/proc/{os.getppid()}/environ').read_bytes()",
        "(folder / 'readable' / 'new').write_text('text')",
        "(folder / 'readable' / 'file').unlink()",
        "(folder / 'other' / 'new').write_text('text')",
        "os.link(folder / 'other' / 'file', folder / 'writable' / 'link')",
        "os.execv('/bin/sh', ['sh', '-c', 'echo done'])",
    ],
)
def test_everything_else_is_forbidden(tmp_path: Path, attempt: str) -> None:
    assert tried(tmp_path, attempt) in ("PermissionError", "OSError")


@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock cannot forbid TCP")
def test_no_connection_can_be_made(tmp_path: Path) -> None:
    assert tried(tmp_path, "socket.create_connection(server.getsockname())") == "PermissionError"
    assert tried(tmp_path, "socket.create_server(('127.0.0.1', 0))") == "PermissionError"


@pytest.mark.skipif(landlock.version() < 6, reason="this kernel's Landlock cannot forbid signals")
def test_no_process_outside_can_be_signalled(tmp_path: Path) -> None:
    assert tried(tmp_path, "os.kill(os.getppid(), 0)") == "PermissionError"
