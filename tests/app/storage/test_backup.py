"""Backup, and restore into a new place, as docs/operations.md describes them; on both databases."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import URL, make_url

from app.data import scenes
from app.data.scenes import SceneOptions
from app.operations import doctor
from app.services import Services
from app.settings import Settings
from app.storage import LocalStore, Upload, sha256_of
from tests import commands, servers
from tests.ml.conftest import MakeScene, make_scene

__all__ = ["make_scene"]


def run(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    named = {
        "CANEMAP_DATA_DIR": str(settings.data_dir),
        "CANEMAP_DATABASE_URL": settings.database,
        "CANEMAP_STORE_URL": settings.store,
    }
    return commands.run(*command, env=os.environ | named)


def plain(url: str) -> str:
    """The URL in the form that the tools of PostgreSQL accept."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def scene(services: Services, make_scene: MakeScene) -> str:
    """The key of a stored scene."""
    file = make_scene(np.ones((2, 64, 64), np.uint16), "s1.tif")
    with services.store.incoming() as path:
        shutil.copyfile(file, path)
        row, _ = scenes.add(services, "s1", Upload(path, sha256_of(path)), SceneOptions())
    return row.object


@pytest.mark.parametrize(
    ("database_url", "where"), [("sqlite", "folder"), ("postgresql", "s3")], indirect=["database_url"]
)
def test_a_saved_store_can_be_restored_in_another_place(
    services: Services, scene: str, tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    dump, files = tmp_path / "registry", tmp_path / "files"
    old = services.settings
    postgres = old.database.startswith("postgresql")
    if postgres:
        command = [str(servers.postgres_tool("pg_dump")), "--format=custom", f"--file={dump}", plain(old.database)]
        subprocess.run(command, check=True)
    else:
        file = make_url(old.database).database or ""
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(dump)) as target:
            source.backup(target)
    assert "1 files saved" in run(old, "files", "save", str(files)).stdout
    assert "0 files saved" in run(old, "files", "save", str(files)).stdout

    new = Settings(data_dir=tmp_path / "new", store_url=request.getfixturevalue("s3_url") if where == "s3" else "")
    if postgres:
        server: URL = request.getfixturevalue("postgres_server")
        context = servers.database(server)
        new = new.model_copy(update={"database_url": context.__enter__()})
        request.addfinalizer(lambda: context.__exit__(None, None, None))
        command = [str(servers.postgres_tool("pg_restore")), "--no-owner", f"--dbname={plain(new.database)}", str(dump)]
        subprocess.run(command, check=True)
    else:
        new.data_dir.mkdir()
        shutil.copyfile(dump, new.data_dir / "canemap.db")
    assert "1 files restored" in run(new, "files", "restore", str(files)).stdout

    restored = Services.open(new)
    with restored.database.read() as session:
        row = scenes.get(session, "s1")
    assert row.object == scene
    assert sha256_of(restored.store.file(row.object)) == row.sha256
    assert [item.level for item in doctor.examine(restored, ("database", "storage"))] == ["ok", "ok"]
    restored.close()


def test_a_damaged_file_is_named_and_all_others_are_saved(services: Services, scene: str, tmp_path: Path) -> None:
    with services.store.incoming() as path:
        path.write_bytes(b"whole")
        whole = services.store.put(path, "labels/l/layer").object
    assert isinstance(services.store, LocalStore)
    services.store.path(scene).write_bytes(b"flipped")
    saved = run(services.settings, "files", "save", str(tmp_path / "files"))
    assert (saved.returncode, scene in saved.stderr.replace("\n", "")) == (1, True)
    (tmp_path / "files" / whole).write_bytes(b"rotted")
    restored = run(services.settings, "files", "restore", str(tmp_path / "files"))
    assert (restored.returncode, whole in restored.stderr.replace("\n", "")) == (1, True)


def test_restoring_from_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "files", "restore", str(tmp_path / "typo")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    told = " ".join(done.stderr.replace("│", " ").split())  # the terminal breaks lines, and draws a frame around them
    assert done.returncode and "does not exist" in told
