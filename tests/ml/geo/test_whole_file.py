"""Writes rasters on disks of many sizes: a raster is complete, or writing it raises that the disk is full."""

import json
import subprocess
import sys
from pathlib import Path

from tests.disks import on_a_small_disk


def test_a_raster_is_complete_or_writing_it_raises_that_the_disk_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    command = [*on_a_small_disk(disk, 16), sys.executable, "-m", "tests.ml.products.on_a_small_disk", disk, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, outcomes in json.loads(done.stdout).items():
        assert set(outcomes) == {"no room", "whole"}, name
        assert len(outcomes) > 10, f"{name} was written on disks of different size"
