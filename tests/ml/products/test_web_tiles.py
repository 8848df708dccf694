"""Map tiles are aligned with the grid of the web, equal to the pixels of their COG, and at the right place."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import pyproj
import pytest
from affine import Affine
from PIL import Image

from ml.geo.crs import WGS84, transformer
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.products.web_cog import write_web_cog
from ml.products.web_grid import CRS, TILE_PX, WORLD_M, web_grid
from ml.products.web_tiles import WebTiles, preview
from tests.ml.conftest import GRID, MakeScene

WEB = pyproj.CRS(CRS)
COLOURS = {0: (0, 0, 0, 0), 1: (76, 175, 80, 255), 7: (238, 102, 119, 255)}
UTM_1 = Affine(10, 0, 163_000, 0, -10, 8_140_000)  # the date line runs through it, in Fiji
TURNED = Affine.translation(500_000, 1_200_000) @ Affine.rotation(30) @ Affine.scale(10, -10)


def classes_of(make_scene: MakeScene, rows: int, cols: int, **grid: object) -> Path:
    """A class map of fields of 16 x 16 px with a corner that was not observed."""
    fields = np.random.default_rng(0).choice(np.array(list(COLOURS), np.uint8), (-(-rows // 16), -(-cols // 16)))
    values = np.kron(fields, np.ones((16, 16), np.uint8))[None, :rows, :cols]
    values[:, : rows // 3, : cols // 3] = 255
    return make_scene(values, "classes.tif", nodata=255, **grid)


def web(classes: Path) -> WebTiles:
    out = classes.with_name("web.tif")
    assert write_web_cog(classes, out, COLOURS)
    assert sorted(path.name for path in out.parent.iterdir()) == ["classes.tif", "web.tif"]
    return WebTiles(out)


@cache
def image_of(tile: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(tile), formats=("WEBP",)) as image:
        return np.asarray(image.convert("RGBA"))


def tile_at(lon: float, lat: float, zoom: int) -> tuple[int, int, int, int]:
    """Column and row of a tile, then of a pixel in it, computed by the Web Mercator of pyproj."""
    x, y = transformer(WGS84, WEB).transform(lon, lat)
    side = TILE_PX << zoom
    col, row = int((x / WORLD_M + 0.5) * side), int((0.5 - y / WORLD_M) * side)
    return col // TILE_PX, row // TILE_PX, col % TILE_PX, row % TILE_PX


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (300, 200), (1100, 1500)])
def test_every_tile_is_a_whole_webp_and_equals_the_same_window_of_the_cog(
    make_scene: MakeScene, size: tuple[int, int]
) -> None:
    tiles = web(classes_of(make_scene, *size))
    filled = 0
    for level in range(tiles.max_zoom - tiles.min_zoom + 1):
        with open_raster(tiles.path) as cog:
            cols, rows, corner = cog.width >> level, cog.height >> level, cog.transform
            image = np.moveaxis(cog.read(out_shape=(4, rows, cols)), 0, -1)
        tile_m = corner.a * TILE_PX * 2**level
        first_col, first_row = (corner.c + WORLD_M / 2) / tile_m, (WORLD_M / 2 - corner.f) / tile_m
        assert (first_col, first_row) == (pytest.approx(round(first_col)), pytest.approx(round(first_row)))
        for row in range(rows // TILE_PX):
            for col in range(cols // TILE_PX):
                tile = tiles.read(tiles.max_zoom - level, round(first_col) + col, round(first_row) + row)
                window = image[row * TILE_PX : (row + 1) * TILE_PX, col * TILE_PX : (col + 1) * TILE_PX]
                assert (tile is None) == (not window.any())
                if tile is not None:
                    filled += 1
                    assert (tile[:4], tile[8:12]) == (b"RIFF", b"WEBP")
                    assert int.from_bytes(tile[4:8], "little") + 8 == len(tile)
                    assert np.array_equal(image_of(tile), window)
    assert filled or size == (1, 1)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32648", GRID),
        ("EPSG:32648", TURNED),
        ("EPSG:4326", Affine(1e-4, 0, -0.02, 0, -1e-4, 0.03)),  # it lies in all four quarters of the globe
        ("EPSG:32701", UTM_1),
        ("EPSG:4326", Affine(1e-4, 0, 179.96, 0, -1e-4, -16)),  # half of it lies beyond 180 degrees
        ("EPSG:4326", Affine(1e-4, 0, -180.04, 0, -1e-4, -16)),
        ("EPSG:4326", Affine(1e-4, 0, 190, 0, -1e-4, -16)),
        ("EPSG:4807", Affine(1e-4, 0, 3, 0, -1e-4, 52)),  # grads from Paris
    ],
)
def test_a_tile_has_the_colour_of_the_class_at_each_place(make_scene: MakeScene, crs: str, transform: Affine) -> None:
    path = classes_of(make_scene, 640, 800, crs=crs, transform=transform)
    tiles = web(path)
    with open_raster(path) as dataset:
        grid, values = grid_of(dataset), dataset.read(1)
    middles = np.arange(8, 640, 16) + 0.5
    rows, cols = (axis.ravel() for axis in np.meshgrid(middles, np.arange(8, 800, 16) + 0.5, indexing="ij"))
    lons, lats = transformer(grid.crs, WGS84).transform(*grid.xy(cols, rows))
    lons = (lons + 180) % 360 - 180
    for row, col, lon, lat in zip(rows, cols, lons, lats, strict=True):
        x, y, across, down = tile_at(lon, lat, tiles.max_zoom)
        tile = tiles.read(tiles.max_zoom, x, y)
        value = values[int(row), int(col)]
        seen = (0, 0, 0, 0) if tile is None else tuple(image_of(tile)[down, across])
        assert seen == COLOURS.get(value, (0, 0, 0, 0))


def test_every_zoom_has_only_the_colours_of_classes(make_scene: MakeScene) -> None:
    tiles = web(classes_of(make_scene, 900, 1300))
    allowed = set(COLOURS.values())
    assert tiles.min_zoom < tiles.max_zoom - 1
    for zoom in range(tiles.min_zoom, tiles.max_zoom + 1):
        col, row, *_ = tile_at(105.06, 10.81, zoom)
        tile = tiles.read(zoom, col, row)
        assert tile is not None
        assert {tuple(pixel) for pixel in image_of(tile).reshape(-1, 4)} <= allowed


def test_there_are_no_tiles_outside_the_map(make_scene: MakeScene) -> None:
    tiles = web(classes_of(make_scene, 300, 300))
    col, row, *_ = tile_at(105.01, 10.84, tiles.max_zoom)
    assert tiles.read(tiles.max_zoom, col, row)
    for zoom, x, y in [(tiles.max_zoom, col + 9, row), (tiles.max_zoom, 0, 0), (tiles.max_zoom + 1, 0, 0), (-1, 0, 0)]:
        assert tiles.read(zoom, x, y) is None


def test_a_map_without_any_class_has_no_tiles(make_scene: MakeScene) -> None:
    tiles = web(make_scene(np.full((1, 300, 300), 255, np.uint8), "classes.tif", nodata=255))
    col, row, *_ = tile_at(105.01, 10.84, tiles.max_zoom)
    assert tiles.read(tiles.max_zoom, col, row) is None
    assert not preview(tiles, 64, (105, 10, 106, 11)).any()


@pytest.mark.parametrize(
    ("crs", "transform"),
    [("EPSG:32648", GRID), ("EPSG:32701", UTM_1), ("EPSG:4326", Affine(1e-4, 0, 179.98, 0, -1e-4, -16))],
)
def test_the_preview_shows_the_whole_map_without_a_margin(make_scene: MakeScene, crs: str, transform: Affine) -> None:
    path = classes_of(make_scene, 600, 300, crs=crs, transform=transform)
    with open_raster(path) as dataset:
        grid, values = grid_of(dataset), dataset.read(1)
    image = preview(web(path), 128, grid.bbox())
    rows, cols = image.shape[:2]
    assert max(rows, cols) <= 128
    assert rows / cols == pytest.approx(2, rel=0.1)
    assert not image[: rows // 4, : cols // 4].any()
    shown = np.isin(values[300:], [1, 7]).mean()
    assert (image[rows // 2 :, 2:-2, 3] == 255).mean() == pytest.approx(shown, abs=0.07)


def test_the_largest_zoom_has_pixels_nearest_in_size_to_those_of_the_map() -> None:
    for factor, zoom in [(1.0, 16), (1.4, 16), (1.42, 15), (0.71, 16), (0.7, 17)]:
        pixel = factor * WORLD_M / (TILE_PX << 16)
        web = web_grid(Grid(512, 512, Affine(pixel, 0, 0, 0, -pixel, 0), WEB))
        assert web is not None
        assert web.zoom == zoom


def test_a_map_beyond_the_85th_parallels_has_no_tiles(make_scene: MakeScene, tmp_path: Path) -> None:
    pole = classes_of(make_scene, 40, 40, crs="EPSG:3995", transform=Affine(10, 0, 100, 0, -10, 100))
    assert not write_web_cog(pole, tmp_path / "web.tif", COLOURS)
    assert [path.name for path in tmp_path.iterdir()] == ["classes.tif"]
