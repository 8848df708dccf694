"""Compares the map tiles of a scene, which the service draws in child processes, with TiTiler and rio-tiler.

    python benchmarks/bench_scene_tiles.py [--quick]

The scene has 4 bands of uint16. Tiles of all zooms come in random order, three bands each; each contender answers a
tile before the next tile is requested. The others are given the values of the stretch, which the service finds by
itself. Both services are called as ASGI applications, so that the network is not measured.
"""

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.core.db import migrate
from app.data import scenes
from app.inspection.inspector import SERVER
from app.inspection.tasks import as_png
from app.main import create_app
from app.settings import Settings
from app.storage import Upload
from app.storage.store import sha256_of
from benchmarks.asgi import Contender, Tile, getter
from benchmarks.side_by_side import show
from ml.products.scene_picture import Percentiles, Range, SceneFile, Style, draw, percentile_ranges, tile_place
from ml.products.web_grid import WebGrid, web_grid_of
from ml.scenes.inspect import SceneInfo

ROOT = Path(__file__).resolve().parents[1]
BANDS = (2, 1, 0)


def scene(path: Path, side: int) -> None:
    """Write a scene of fields with grain, in UTM at 2 m, in tiles and without overviews."""
    random_ = np.random.default_rng(0)
    fields = random_.integers(300, 3000, (4, side // 40 + 1, side // 40 + 1), dtype=np.uint16)
    values = np.kron(fields, np.ones((1, 40, 40), np.uint16))[:, :side, :side]
    values += random_.integers(0, 200, values.shape, dtype=np.uint16)
    grid = {"crs": "EPSG:32648", "transform": Affine(2, 0, 500_000, 0, -2, 2_500_000)}
    shape = {"width": side, "height": side, "count": 4, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="DEFLATE", **shape, **grid) as file:
        file.write(values)


def tiles_of(web: WebGrid) -> list[Tile]:
    """All tiles that the scene touches, of all zooms."""
    return [
        (web.zoom - up, col, row)
        for up in range(web.levels + 1)
        for col in range(web.left >> up, (web.right - 1 >> up) + 1)
        for row in range(web.top >> up, (web.bottom - 1 >> up) + 1)
    ]


async def run(folder: Path, side: int, count: int) -> None:
    """Make the scene, ask for tiles, print the table."""
    file = folder / "scene.tif"
    scene(file, side)
    settings = Settings(data_dir=folder / "data", database_url="", log_level="warning")
    migrate(settings)
    ours = create_app(settings)
    async with ours.router.lifespan_context(ours):
        services = ours.state.services
        row, _ = scenes.add(services, "s", Upload(file, sha256_of(file)), scenes.SceneOptions())
        web = web_grid_of(row.info)
        assert web is not None
        tiles = tiles_of(web)
        random.Random(0).shuffle(tiles)
        service = getter(ours, "/v1/scenes/s/tiles/WebMercatorQuad/{z}/{x}/{y}.png", "bands=3,2,1")
        for what in ("first tile, with the copy as COG", "second tile"):
            print(f"{side} x {side} px, {what}: {await spent(service, tiles[0]):.3g} s")
        drawn, ranges = described(scenes.cog(services, "s"), row.info)
        report(await timed(service, drawn, ranges, tiles[:count]))
    SERVER.stop()


async def spent(contender: Contender, tile: Tile) -> float:
    """Seconds of one tile."""
    start = time.perf_counter()
    assert await contender(tile)
    return time.perf_counter() - start


def described(cog: Path, info: SceneInfo) -> tuple[SceneFile, tuple[Range, ...]]:
    """The file as canemap draws it, and the ranges of the default stretch."""
    extremes = tuple((band.statistics.min, band.statistics.max) for band in info.bands)
    file = SceneFile(cog, None, ("1", "2", "3", "4"), extremes)
    with file.open() as source:
        overviews = source.dataset.overviews(1)
    return file, percentile_ranges(file, BANDS, Percentiles(), overviews)


async def timed(
    service: Contender, file: SceneFile, ranges: Sequence[Range], tiles: Sequence[Tile]
) -> dict[str, list[float]]:
    """Seconds of each tile by contender; the first tile is not counted."""
    style = Style(bands=BANDS, stretch=tuple(ranges))
    command = [sys.executable, "-m", "benchmarks.peers.titiler_tiles", str(file.path), *(f"{a},{b}" for a, b in ranges)]
    seconds: dict[str, list[float]] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as peers:
        assert peers.stdin
        assert peers.stdout
        for number, tile in enumerate([tiles[0], *tiles]):
            print(*tile, file=peers.stdin, flush=True)
            titiler, rio_tiler = map(float, peers.stdout.readline().split())
            start = time.perf_counter()
            as_png(draw(file, style, tile_place(*tile)).pixels)
            here = time.perf_counter() - start
            times = {"titiler.core": titiler, "rio-tiler alone": rio_tiler, "canemap's draw alone": here}
            for name, each in (times | {"canemap service": await spent(service, tile)}).items():
                seconds.setdefault(name, []).extend([each] if number else [])
        peers.stdin.close()
    return seconds


def report(seconds: Mapping[str, Sequence[float]]) -> None:
    """Print a row for each contender; the ratio is its median over that of titiler.core."""
    base = statistics.median(seconds["titiler.core"])
    rows = [
        [name, 1e3 * statistics.median(each), 1e3 * float(np.quantile(each, 0.99)), statistics.median(each) / base]
        for name, each in seconds.items()
    ]
    tiles = len(next(iter(seconds.values())))
    show(f"{tiles} map tiles of a scene", ["contender", "median ms", "p99 ms", "times titiler's ms"], rows)


def main() -> None:
    """Make the scene, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small scene and few tiles")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), 1000 if quick else 5000, 20 if quick else 200))


if __name__ == "__main__":
    main()
