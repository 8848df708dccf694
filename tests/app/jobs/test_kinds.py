"""A kind of job is registered in one place, which all other modules use."""

import subprocess
import sys
from pathlib import Path

from app.jobs.kinds import KINDS
from worker.attempt import WORK

ROOT = Path(__file__).resolve().parents[3]


def test_the_worker_can_do_each_kind() -> None:
    assert WORK.keys() == KINDS.keys()


def test_a_kind_that_is_registered_is_known_everywhere(tmp_path: Path) -> None:
    # in a new process, where nothing was imported before the kind is registered
    command = [sys.executable, "-m", "tests.app.jobs.another_kind", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
