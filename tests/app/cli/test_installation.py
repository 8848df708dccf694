"""An installation in which another distribution has taken a name of canemap's is refused, and never run in silence."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("app", "ml", "worker", "migrations")


def record(site: Path, name: str, files: Sequence[str]) -> None:
    """Record files below `site` as those of a distribution, as pip does."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    digests = {path: sha256((site / path).read_bytes()).digest() for path in files}
    rows = [f"{path},sha256={base64.urlsafe_b64encode(d).rstrip(b'=').decode()},1" for path, d in digests.items()]
    (info / "RECORD").write_text("\n".join(rows) + "\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages in which canemap is installed."""
    site = tmp_path / "site"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    record(site, "canemap", [str(path.relative_to(site)) for path in site.rglob("*.py")])
    return site


def canemap(site: Path, *before: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command of the installation. before: Folders that Python searches first."""
    path = os.pathsep.join(map(str, (*before, site)))
    command = [sys.executable, "-P", "-m", "app.cli", "check-table", "0.8942", "0.7462", "0.7728"]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, cwd=site, capture_output=True, text=True)


def test_a_whole_installation_says_nothing(site: Path) -> None:
    assert "PYTHONPATH" not in canemap(site).stderr
    assert canemap(site).returncode == 0, canemap(site).stderr


@pytest.mark.parametrize("name", ["ml", "worker"])
def test_a_package_of_the_same_name_that_comes_first_is_refused(site: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    (other / name).mkdir(parents=True)
    (other / name / "__init__.py").write_text("")
    done = canemap(site, other)
    assert done.returncode == 3
    assert f"The package `{name}` comes from {other}" in done.stderr
    assert "pipx" in done.stderr and "Traceback" not in done.stderr


def test_files_that_another_distribution_has_overwritten_are_refused(site: Path) -> None:
    (site / "worker" / "main.py").write_text("print('somebody else')\n")
    assert canemap(site).returncode == 0, "a file may be edited by hand"
    record(site, "another", ["worker/main.py"])
    done = canemap(site)
    assert done.returncode == 3
    assert "another has overwritten files of canemap's package `worker`" in done.stderr


def test_a_missing_package_is_named(site: Path) -> None:
    shutil.rmtree(site / "migrations")
    done = canemap(site)
    assert done.returncode == 3
    assert "`migrations`" in done.stderr, "missing, or, where canemap is installed from a checkout, from there"
