"""A raster is whole, or whoever writes it is told that there was no room, however full the disk."""

import json
import subprocess
import sys
from pathlib import Path

from tests.disks import on_a_small_disk


def test_a_raster_is_whole_or_there_was_no_room_for_it(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    command = [*on_a_small_disk(disk, 16), sys.executable, "-m", "tests.ml.products.on_a_small_disk", disk, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, outcomes in json.loads(done.stdout).items():
        assert set(outcomes) == {"no room", "whole"}, name
        assert len(outcomes) > 10, f"{name} was written on disks of different size"
