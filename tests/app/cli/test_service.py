"""Commands that run the service: they refuse what would harm its data, in plain words."""

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from app.cli.running import InUse, running
from app.core.db import CannotMigrate, migrate, schemas, upgrade
from app.settings import Settings
from tests import commands


def canemap(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the data folder `folder`."""
    variables = {"CANEMAP_DATA_DIR": str(folder), "COLUMNS": "1000"}
    return commands.run(*arguments, env=os.environ | variables)


def test_a_second_service_on_a_data_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.cli.running import _alone

    settings = Settings(data_dir=tmp_path / "data")
    with _alone(settings):
        done = canemap(tmp_path / "data", "up", "--port", "0")
        assert done.returncode == 2
        assert "Another canemap runs on the data folder" in done.stderr
        assert "Traceback" not in done.stderr
        with pytest.raises(InUse), running("127.0.0.1", 0, tmp_path / "data"):
            pass
    with _alone(settings):
        pass


def test_a_port_that_is_taken_makes_no_data_folder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = canemap(tmp_path / "data", "up", "--port", str(other.getsockname()[1]))
    assert (done.returncode, "cannot be used" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("revision", ["0001", "-1", "base", "9999", "x; y"])
def test_a_schema_is_never_migrated_back(tmp_path: Path, revision: str) -> None:
    assert canemap(tmp_path, "migrate").returncode == 0
    done = canemap(tmp_path, "migrate", "--revision", revision)
    assert done.returncode == 2
    assert "restore a backup" in done.stderr or "no revision" in done.stderr


def test_a_schema_is_migrated_forward_step_by_step(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    for revision in schemas()[::-1]:
        assert upgrade(settings, revision) == revision
        assert upgrade(settings, revision) == revision, "twice is harmless"
    migrate(settings, "-1")
    assert upgrade(settings) == schemas()[0]
    with pytest.raises(CannotMigrate, match="restore a backup"):
        upgrade(settings, schemas()[1])


def test_the_data_folder_belongs_to_its_user_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert canemap(tmp_path / "data", "migrate").returncode == 0
    finally:
        os.umask(before)
    for path in (tmp_path / "data").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_the_image_of_the_api_is_open_to_nobody_by_default() -> None:
    text = (Path(__file__).resolve().parents[3] / "Dockerfile").read_text()
    assert 'CMD ["canemap", "serve"]' in text
    assert "--unprotected" not in "".join(line for line in text.splitlines() if not line.startswith("#"))


def test_a_port_on_which_another_program_listens_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InUse, match=f"Port {port} of 127.0.0.1") as refused, running("127.0.0.1", port, tmp_path):
            pass
    assert refused.value.option == "--port"
