"""The room that is reserved beside an SQLite database."""

import json
import subprocess
import sys
from pathlib import Path

from app.core import reserve
from app.core.reserve import Reserve
from tests.disks import on_a_small_disk


def test_a_service_that_starts_on_a_full_disk_can_open_its_database_and_delete(tmp_path: Path) -> None:
    command = [*on_a_small_disk(tmp_path / "disk", 32), sys.executable, "-m", "tests.app.core.on_a_full_disk"]
    done = subprocess.run([*command, tmp_path / "disk"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"without": "no room", "with": "accepted, then dismissed"}


def test_a_reserve_takes_room_once_until_it_is_released(tmp_path: Path) -> None:
    kept = Reserve(tmp_path / "reserve")
    kept.release()
    for _ in range(2):
        kept.keep()
        assert [path.stat().st_size for path in tmp_path.iterdir()] == [reserve.BYTES]
    kept.release()
    assert list(tmp_path.iterdir()) == []
