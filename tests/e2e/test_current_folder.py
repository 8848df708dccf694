"""The current folder of a command is the user's: no file in it is taken for a part of canemap or of a library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.client import Client
from ml.synthetic import SyntheticScene
from tests.e2e.conftest import TINY, up, upload

NAMES = ("app", "ml", "worker", "migrations", "torch", "celery", "celeryconfig", "sitecustomize")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of Python files with such names, each of which leaves the file `NAME was run` when it is executed."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / name)!r} + ' was run', 'w').close()\n")
    return folder


def run_files(folder: Path) -> list[str]:
    """The files that were executed."""
    return sorted(path.name for path in folder.glob("* was run"))


def test_a_service_does_jobs_in_a_folder_with_files_of_the_same_names(
    tmp_path: Path, folder: Path, world: dict[str, SyntheticScene]
) -> None:
    with up(tmp_path, cwd=folder) as stack, Client(stack.url) as client:
        client.train(upload(client, world), register_as="cane", config=TINY).wait(timeout_s=120)
    assert run_files(folder) == []


@pytest.mark.parametrize("arguments", [["worker", "--queues", "nonsense"], ["doctor", "--only", "gpu"]])
def test_a_command_runs_no_file_of_the_current_folder(folder: Path, arguments: list[str]) -> None:
    canemap = Path(sys.executable).with_name("canemap")
    environment = os.environ | {"CANEMAP_DATA_DIR": str(folder / "data")}
    done = subprocess.run([canemap, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert run_files(folder) == []
    assert "torch" in done.stdout or "the queues are" in done.stderr
