"""Child processes are restarted when they crash, and end with their parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from app.operations.supervise import Child, Supervisor
from tests.waiting import eventually

SLEEPER = """
import pathlib, sys, time, os
from app.operations.supervise import die_with_parent
die_with_parent()
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
time.sleep(600)
"""
PARENT = """
import os, sys, time
from app.operations.supervise import Child, Supervisor
with Supervisor([Child("sleeper", [sys.executable, "-c", sys.argv[2], sys.argv[1]])], os.environ):
    time.sleep(600)
"""


def pids(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"


def test_a_crashed_child_is_restarted_and_ends_with_the_block(tmp_path: Path) -> None:
    child = Child("sleeper", [sys.executable, "-c", SLEEPER, str(tmp_path)])
    with Supervisor([child], os.environ):
        eventually(lambda: len(pids(tmp_path)) == 1)
        first = pids(tmp_path)[0]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(pids(tmp_path)) == 2)
    assert not any(lives(pid) for pid in pids(tmp_path))


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), SLEEPER])
    eventually(lambda: len(pids(tmp_path)) == 1)
    child = pids(tmp_path)[0]
    parent.kill()
    parent.wait()
    eventually(lambda: not lives(child))
