"""A program that writes maps on a small disk, with more room each time, until they are whole.

Nothing else may use the disk.
"""

import errno
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rasterio

from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.labels.rasterise import MaskFile
from ml.products.cog import MapEncoding, to_cog, write_cog
from ml.products.web_cog import write_web_cog
from tests.disks import fill
from tests.ml.conftest import GRID

SIZE_PX = 512
STEPS = 16  # from a disk without room to one with enough room
NOISE = np.random.default_rng(0).integers(0, 250, (SIZE_PX, SIZE_PX), dtype=np.uint8)  # it cannot be compressed


def outcomes(disk: Path, write: Callable[[Path], object], calm: Path) -> Iterator[str]:
    """The outcome of each attempt: "no room", or "whole", which ends the attempts, or something else."""
    write(calm)
    outcome, room = "", 4096
    while outcome != "whole":
        fill(disk / "filler", leave_bytes=room)
        outcome = attempt(lambda: write(disk / calm.name)) or same(disk / calm.name, calm)
        yield outcome
        for path in disk.iterdir():
            path.unlink()
        room += calm.stat().st_size // STEPS


def attempt(write: Callable[[], object]) -> str:
    try:
        write()
    except Exception as error:
        return "no room" if isinstance(error, OSError) and error.errno == errno.ENOSPC else repr(error)
    return ""


def same(path: Path, calm: Path) -> str:
    return "whole" if path.read_bytes() == calm.read_bytes() else "torn"


def main(disk: Path, folder: Path) -> None:
    """Print the outcomes of every kind of map as JSON."""
    scene = folder / "scene.tif"
    shape = {"count": 1, "dtype": "uint8", "height": SIZE_PX, "width": SIZE_PX}
    with rasterio.open(scene, "w", driver="GTiff", crs="EPSG:32649", transform=GRID, **shape) as file:
        file.write(NOISE, 1)

    def mask(path: Path) -> None:
        with open_raster(scene) as like, MaskFile(path, grid_of(like)) as file:
            file.write(NOISE[None], Window(0, 0, SIZE_PX, SIZE_PX))

    writers: dict[str, Callable[[Path], object]] = {
        "map.tif": lambda path: write_cog(NOISE, scene, path, MapEncoding("class")),
        "scene.cog.tif": lambda path: to_cog(scene, path),
        "web.tif": lambda path: write_web_cog(scene, path, {value: (value, 99, value, 255) for value in range(250)}),
        "mask.tif": mask,
    }
    print(json.dumps({name: list(outcomes(disk, write, folder / name)) for name, write in writers.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
