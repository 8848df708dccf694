"""Compares the map tiles of the service, and of its reader alone, with titiler.core on the same COG.

    python benchmarks/bench_tiles.py [--quick]

Tiles of all zooms come in random order; each contender answers a tile before the next tile is requested. Both services
are called as ASGI applications in this process, so that the network is not measured.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import rasterio
from affine import Affine
from fastapi import FastAPI
from titiler.core.factory import TilerFactory  # type: ignore[import-not-found]

with rasterio.Env():  # starts GDAL with all its drivers: titiler needs some that canemap disables
    pass

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.core.db import migrate
from app.main import create_app
from app.mapping.tiles import published
from app.results import MappedAreas
from app.settings import Settings
from app.tables import Job, ModelVersion, Prediction, Scene
from benchmarks.asgi import Contender, Tile, getter
from benchmarks.side_by_side import show
from ml.config import PredictConfig, TrainConfig
from ml.products.web_cog import write_web_cog
from ml.products.web_tiles import WebTiles
from ml.scenes.inspect import inspect_scene
from tests.app.documents import CONTRACT, UNSCORED

COLOURS = {0: (0, 0, 0, 255), 1: (76, 175, 80, 255)}
FIELD_PX = 40


def class_map(path: Path, side: int) -> None:
    """Write a map of square fields of two classes, in UTM at 2 m."""
    fields = np.random.default_rng(0).integers(0, 2, (side // FIELD_PX + 1,) * 2, dtype=np.uint8)
    values = np.kron(fields, np.ones((FIELD_PX, FIELD_PX), np.uint8))[:side, :side]
    grid = {"crs": "EPSG:32648", "transform": Affine(2, 0, 500_000, 0, -2, 2_500_000)}
    shape = {"width": side, "height": side, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="DEFLATE", **shape, **grid) as file:
        file.write(values, 1)


def stored_tiles(tiles: WebTiles) -> Iterator[Tile]:
    """Zoom, column and row of every tile of the file that is not empty."""
    with rasterio.open(tiles.path, driver="GTiff") as cog:
        (west, north), (east, south) = cog.transform @ (0, 0), cog.transform @ (cog.width, cog.height)
    world = 20037508.342789244
    for zoom in range(tiles.min_zoom, tiles.max_zoom + 1):
        tile = 2 * world / 2**zoom
        for x in range(round((west + world) / tile), round((east + world) / tile)):
            for y in range(round((world - north) / tile), round((world - south) / tile)):
                if tiles.read(zoom, x, y):
                    yield zoom, x, y


def publish(app: FastAPI, classes: Path, web: Path) -> str:
    """Put a finished prediction with its tiles into the service; the id of the prediction."""
    services = app.state.services
    info = inspect_scene(classes)
    stored = services.store.put(web, "predictions/p/web.tif")
    now = datetime.now(UTC)
    west, south, east, north = info.bbox
    box = {"west": west, "south": south, "east": east, "north": north}
    kept = {"sha256": "0" * 64, "size_bytes": 0, "object": "scenes/s"}
    with services.database.write() as session:
        session.add(Scene(id="s", info=info, revision=1, **box, **kept))
        session.add(Job(id="p", kind="prediction", status="successful", created=now, updated=now))
        model = {"metrics": UNSCORED, "contract": CONTRACT, "config": TrainConfig(), "versions": {}}
        session.add(ModelVersion(name="m", version=1, sha256="0" * 64, size_bytes=0, object="m", **model))
        session.flush()
        made = {"products": {"web.tif": stored}, "areas": MappedAreas(area_ha={}, observed_ha=0, unobserved_ha=0)}
        session.add(Prediction(id="p", scene="s", model="m", version=1, config=PredictConfig(), **made))
    return "p"


async def timed(contenders: Mapping[str, Contender], tiles: Sequence[Tile]) -> dict[str, list[float]]:
    """Seconds of each tile by contender; the first tile, which opens the files, is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number, tile in enumerate([tiles[0], *tiles]):
        for name, read in contenders.items():
            start = time.perf_counter()
            assert await read(tile)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


async def run(folder: Path, side: int, count: int) -> None:
    """Make the map, ask for tiles, print the table."""
    classes, web = folder / "classes.tif", folder / "web.tif"
    class_map(classes, side)
    start = time.perf_counter()
    write_web_cog(classes, web, COLOURS)
    spent, size_mb = time.perf_counter() - start, web.stat().st_size / 1e6
    print(f"{side} x {side} px: web.tif of {size_mb:.1f} MB in {spent:.1f} s, {side**2 / spent / 1e6:.1f} Mpx/s")
    settings = Settings(data_dir=folder / "data", database_url="", log_level="warning")
    migrate(settings)
    ours, titiler = create_app(settings), FastAPI()
    titiler.include_router(TilerFactory().router)
    async with ours.router.lifespan_context(ours):
        id_ = publish(ours, classes, web)
        cog = published(ours.state.services, id_).tiles.path
        tiles = WebTiles(cog)

        async def read(tile: Tile) -> int:
            return len(tiles.read(*tile) or b"")

        chosen = list(stored_tiles(tiles))
        random.Random(0).shuffle(chosen)
        base, query = f"/v1/predictions/{id_}/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}", f"url={quote(str(cog))}"
        contenders = {
            "titiler.core, webp": getter(titiler, "/tiles/WebMercatorQuad/{z}/{x}/{y}.webp", query),
            "titiler.core, png": getter(titiler, "/tiles/WebMercatorQuad/{z}/{x}/{y}.png", query),
            "canemap service, webp": getter(ours, f"{base}.webp"),
            "canemap service, png": getter(ours, f"{base}.png"),
            "WebTiles.read alone": read,
        }
        report(await timed(contenders, chosen[:count]))


def report(seconds: Mapping[str, Sequence[float]]) -> None:
    """Print a row for each contender; the ratio is the median of titiler.core over that of the contender."""
    worst = statistics.median(seconds["titiler.core, webp"])
    rows = [
        [name, 1e3 * statistics.median(each), 1e3 * float(np.quantile(each, 0.99)), worst / statistics.median(each)]
        for name, each in seconds.items()
    ]
    tiles = len(next(iter(seconds.values())))
    show(f"{tiles} map tiles", ["contender", "median ms", "p99 ms", "times as fast as titiler's webp"], rows)


def main() -> None:
    """Make the map, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small map and few tiles")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), 1000 if quick else 5000, 20 if quick else 300))


if __name__ == "__main__":
    main()
