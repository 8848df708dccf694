"""Commands where only a part of canemap is installed: they say which package is missing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OF_THE_API = ("up", "serve", "worker", "beat", "migrate", "doctor", "files save x")


def needs(name: str, extra: str = "") -> Iterator[str]:
    """The names of the distributions that `name` requires itself, with those of one of its extras."""
    for line in metadata.distribution(name).requires or ():
        requirement, _, marker = line.partition(";")
        named = re.search(r"extra == ['\"]([\w-]+)", marker)
        if named is None or named[1] == extra:
            yield re.match(r"[\w.-]+", requirement.strip())[0]  # type: ignore[index]


def installed(folder: Path, extra: str = "") -> Path:
    """A folder with links to canemap and to what it requires, and to nothing else."""
    wanted, seen = list(needs("canemap", extra)), set[str]()
    while wanted:
        if (name := wanted.pop().lower()) not in seen:
            seen.add(name)
            try:
                wanted += needs(name)
            except metadata.PackageNotFoundError:  # it is for other systems
                continue
            tops = {path.parts[0] for path in metadata.files(name) or () if path.parts[0] not in ("..", "__pycache__")}
            for top in tops:
                source = Path(str(metadata.distribution(name).locate_file(top)))
                if not (folder / top).exists():
                    (folder / top).symlink_to(source)
    for package in ("app", "ml", "worker", "migrations"):
        (folder / package).symlink_to(ROOT / package)
    return folder


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "CANEMAP_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-S", "-P", "-m", "app.cli", *arguments]  # -S: without the other installed packages
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install canemap` installs."""
    return installed(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("line", OF_THE_API)
def test_a_command_of_the_service_names_the_extra_that_it_needs(base: Path, line: str) -> None:
    done = run(base, *line.split())
    assert done.returncode == 3, done.stderr
    assert "pip install 'canemap[" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_client_commands_need_no_extra(base: Path) -> None:
    done = run(base, "--version")
    assert done.returncode == 0, done.stderr
    checked = run(base, "check-table", "0.8942", "0.7462", "0.7780")
    assert checked.returncode == 4, checked.stderr
    unreachable = run(base, "models")
    assert (unreachable.returncode, "canemap up" in unreachable.stderr) == (3, True), unreachable.stderr


def test_a_service_without_the_packages_of_its_workers_does_not_start(tmp_path: Path) -> None:
    folder = installed(tmp_path, "api")
    for command in ("up", "worker"):
        done = run(folder, command, "--data", str(tmp_path / "data"))
        assert (done.returncode, "torch" in done.stderr) == (3, True), done.stderr
        assert "canemap[worker]" in done.stderr
    assert not (tmp_path / "data").exists()
    assert run(folder, "migrate", "--data", str(tmp_path / "data")).returncode == 0
