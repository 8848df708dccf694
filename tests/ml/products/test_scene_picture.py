"""Pictures of scenes have the pixels that GDAL warps there, in the colours that bands and stretch say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import reproject

from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.products.cog import to_cog
from ml.products.scene_picture import Percentiles, Picture, SceneFile, Style, draw, preview_place, tile_place
from ml.products.web_grid import CRS, TILE_PX, WORLD_M, WebGrid, web_grid, web_grid_of, world_box
from ml.scenes.inspect import inspect_scene
from ml.scenes.source import RasterSource
from tests.ml.conftest import GRID, MakeScene

Tile = tuple[int, int, int]
SIZE, FIELD = (300, 420), 20
GRIDS: dict[str, dict[str, Any]] = {
    "utm": {},
    "rotated": {"transform": Affine.translation(500_000, 1_200_000) @ Affine.rotation(30) @ Affine.scale(10, -10)},
    "south-up": {"transform": Affine(10, 0, 500_000, 0, 10, 1_200_000)},
    "degrees": {"crs": "EPSG:4326", "transform": Affine(1e-4, 0, 108, 0, -1e-4, 23)},
    "utm across the date line": {"crs": "EPSG:32701", "transform": Affine(10, 0, 163_000, 0, -10, 8_140_000)},
    "degrees across the date line": {"crs": "EPSG:4326", "transform": Affine(1e-4, 0, 179.98, 0, -1e-4, -16)},
    "degrees beyond 180": {"crs": "EPSG:4326", "transform": Affine(1e-4, 0, -180.03, 0, -1e-4, -16)},
    "web mercator": {"crs": "EPSG:3857", "transform": Affine(10, 0, 20_036_000, 0, -10, 2_600_000)},
    "another datum": {"crs": "EPSG:27700", "transform": Affine(10, 0, 400_000, 0, -10, 300_000)},
    "a wide area": {"crs": "EPSG:32648", "transform": Affine(2500, 0, 100_000, 0, -2500, 2_600_000)},
    "around the pole": {"crs": "EPSG:3413", "transform": Affine(9000, 0, -2_000_000, 0, -9000, 1_300_000)},
}


def fields(dtype: str, bands: int = 1, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Square fields of FIELD px with random values that a scene of this type may have."""
    rows, cols = (-(-side // FIELD) for side in size)
    least = -800 if dtype.startswith(("int", "float")) else 1
    most = 255 if dtype == "uint8" else 3000
    values = np.random.default_rng(0).integers(least, most, (bands, rows, cols))
    return np.kron(values, np.ones((1, FIELD, FIELD)))[:, : size[0], : size[1]].astype(dtype)


def scene_file(path: Path, nodata: float | None = None) -> SceneFile:
    info = inspect_scene(path, nodata=nodata)
    extremes = tuple((band.statistics.min, band.statistics.max) for band in info.bands)
    return SceneFile(path, nodata, tuple(band.name for band in info.bands), extremes)


def grid(path: Path) -> WebGrid:
    with open_raster(path) as dataset:
        found = web_grid(grid_of(dataset))
    assert found is not None
    return found


def tiles_of(path: Path) -> Iterator[Tile]:
    """Some tiles of the largest zoom that a scene touches, spread over the scene, and two of smaller zooms."""
    web = grid(path)
    for col in np.unique(np.linspace(web.left, web.right - 1, 3).astype(int)):
        for row in np.unique(np.linspace(web.top, web.bottom - 1, 3).astype(int)):
            yield web.zoom, int(col) % (1 << web.zoom), int(row)
    for up in {1, web.levels} - {0}:
        if up <= web.zoom:
            yield web.zoom - up, (web.left >> up) % (1 << web.zoom - up), web.top >> up


def warped(path: Path, tile: Tile, resampling: Resampling = Resampling.nearest) -> np.ndarray:
    """A tile of the first band as GDAL warps it, float64 with NaN outside the scene and where it has no data."""
    zoom, col, row = tile
    side = WORLD_M / 2**zoom
    to = Affine(side / TILE_PX, 0, col * side - WORLD_M / 2, 0, -side / TILE_PX, WORLD_M / 2 - row * side)
    found = np.full((TILE_PX, TILE_PX), np.nan)
    with open_raster(path) as dataset:
        values = dataset.read(1, masked=True).astype(np.float64).filled(np.nan)
        turn = 360 if dataset.crs.is_geographic else WORLD_M if dataset.crs.to_epsg() == 3857 else 0
        for x in {-turn, 0, turn}:  # GDAL does not look for a place a full turn away
            part = np.full_like(found, np.nan)
            moved = Affine.translation(x, 0) @ dataset.transform
            reproject(
                values,
                part,
                src_transform=moved,
                src_crs=dataset.crs,
                src_nodata=np.nan,
                dst_transform=to,
                dst_crs=CRS,
                dst_nodata=np.nan,
                resampling=resampling,
                tolerance=0,
            )
            found = np.where(np.isnan(found), part, found)
    return found


def same_around(values: np.ndarray) -> np.ndarray:
    """Where all neighbours of a pixel have its value, or are NaN like it: there half a pixel makes no difference."""
    padded = np.pad(values, 1, mode="edge")
    around = [padded[row : row + TILE_PX, col : col + TILE_PX] for row in range(3) for col in range(3)]
    alike = [np.isclose(each, values, equal_nan=True) for each in around]
    everywhere: np.ndarray = np.all(alike, axis=0)
    return everywhere


def greys(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """What a grey picture shows for these values: 0 to 255, rounded."""
    return np.array([round(255 * min(1.0, max(0.0, (value - low) / (high - low)))) for value in values])


def check_against_gdal(path: Path, picture: Picture, tile: Tile, low: float, high: float) -> int:
    """Compare a grey picture with what GDAL has there; returns the number of pixels that were compared."""
    expected = warped(path, tile)
    sure = same_around(expected)
    assert sure.mean() > 0.3
    shown = ~np.isnan(expected)
    assert np.array_equal(picture.pixels[sure, 3], np.where(shown, 255, 0)[sure])
    assert not picture.pixels[picture.pixels[..., 3] == 0].any()
    inside = sure & shown
    for colour in range(3):
        found = picture.pixels[inside, colour].astype(int)
        assert np.abs(found - greys(expected[inside], low, high)).max(initial=0) <= 1
    return int(inside.sum())


@pytest.mark.parametrize("place", GRIDS)
def test_tiles_have_the_pixels_that_gdal_warps_there(make_scene: MakeScene, place: str) -> None:
    path = make_scene(fields("uint16"), **GRIDS[place])
    web = grid(path)
    compared = 0
    for zoom, col, row in tiles_of(path):
        if zoom == web.zoom:
            picture = draw(scene_file(path), Style(bands=(0,), stretch=((0, 3000),)), tile_place(zoom, col, row))
            compared += check_against_gdal(path, picture, (zoom, col, row), 0, 3000)
    assert compared > 20_000


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_values_of_every_type_are_stretched_alike(make_scene: MakeScene, dtype: str) -> None:
    image = fields(dtype)
    if image.dtype.kind == "f":
        image[:, 100:200, 100:200] = np.nan
    path = make_scene(image)
    for tile in tiles_of(path):
        if tile[0] == grid(path).zoom:
            picture = draw(scene_file(path), Style(bands=(0,), stretch=((-100, 200.5),)), tile_place(*tile))
            check_against_gdal(path, picture, tile, -100, 200.5)


def test_pixels_without_data_in_any_band_are_transparent(make_scene: MakeScene) -> None:
    image = fields("uint16", bands=3)
    image[2, 120:180, :] = 7
    path = make_scene(image)
    box = world_box(inspect_scene(path).bbox)
    assert box is not None
    place = preview_place(box, grid(path).zoom, 400)
    plain = draw(scene_file(path), Style(bands=(0,)), place).pixels[..., 3]
    with_nodata = draw(scene_file(path, nodata=7), Style(bands=(0,)), place).pixels[..., 3]
    assert plain.sum() > with_nodata.sum() > 0
    assert abs(with_nodata.sum() / plain.sum() - 0.8) < 0.05


def test_three_bands_are_red_green_and_blue(make_scene: MakeScene) -> None:
    image = np.stack([np.full(SIZE, value, np.uint16) for value in (10, 20, 30, 40)])
    path = make_scene(image)
    tile = next(iter(tiles_of(path)))
    ranges = ((0, 40), (0, 60), (0, 510))
    pixels = draw(scene_file(path), Style(bands=(3, 2, 0), stretch=ranges), tile_place(*tile)).pixels
    assert {tuple(colour) for colour in pixels[pixels[..., 3] > 0].tolist()} == {(255, 128, 5, 255)}


def test_a_palette_gives_its_own_colours_unless_a_stretch_is_asked_for(make_scene: MakeScene) -> None:
    colours = {value: (value, 255 - value, value // 2, 255) for value in range(256)} | {3: (1, 2, 3, 0)}
    path = make_scene(fields("uint8"))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, colours)
    tile = next(iter(tiles_of(path)))
    picture = draw(scene_file(path), Style(bands=(0,)), tile_place(*tile))
    expected = warped(path, tile)
    inside = same_around(expected) & ~np.isnan(expected)
    assert picture.ranges is None
    values = expected[inside].astype(int)
    assert np.array_equal(picture.pixels[inside], [colours[value] for value in values.tolist()])
    stretched = draw(scene_file(path), Style(bands=(0,), stretch=((0, 255),)), tile_place(*tile))
    assert np.array_equal(stretched.pixels[inside][:, 0], values)


def test_scale_and_offset_are_applied_before_the_stretch(make_scene: MakeScene) -> None:
    path = make_scene(np.full((1, *SIZE), 3000, np.uint16))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4,), (-0.1,)
    tile = next(iter(tiles_of(path)))
    pixels = draw(scene_file(path), Style(bands=(0,), stretch=((0, 0.4),)), tile_place(*tile)).pixels
    assert set(pixels[pixels[..., 3] > 0][:, 0].tolist()) == {round(255 * 0.2 / 0.4)}


def test_alpha_makes_pixels_transparent(make_scene: MakeScene) -> None:
    image = fields("uint8", bands=4)
    image[3] = 255
    image[3, :, :210] = 0
    path = make_scene(image)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    box = world_box(inspect_scene(path).bbox)
    assert box is not None
    pixels = draw(scene_file(path), Style(bands=(0, 1, 2)), preview_place(box, grid(path).zoom, 200)).pixels
    assert not pixels[:, :95].any()
    assert pixels[20:-20, 105:-5, 3].all()


def test_percentiles_are_those_of_the_whole_scene_on_every_tile(make_scene: MakeScene) -> None:
    image = fields("int16", bands=3)
    path = make_scene(image)
    style = Style(bands=(2, 1, 0), stretch=Percentiles(low=5, high=90))
    ranges = {draw(scene_file(path), style, tile_place(*tile)).ranges for tile in tiles_of(path)}
    expected = tuple(tuple(np.percentile(image[band], [5, 90])) for band in (2, 1, 0))
    assert ranges == {expected}


def test_percentiles_of_a_large_scene_are_those_of_an_overview(make_scene: MakeScene, tmp_path: Path) -> None:
    image = fields("uint16", size=(1500, 2300))
    to_cog(make_scene(image), cog := tmp_path / "cog.tif")
    (found,) = draw(scene_file(cog), Style(bands=(0,)), tile_place(*next(iter(tiles_of(cog))))).ranges or ()
    assert np.allclose(found, np.percentile(image, [2, 98]), rtol=0.02)


def test_a_band_whose_percentiles_are_equal_is_drawn_from_its_smallest_to_its_largest_value(
    make_scene: MakeScene,
) -> None:
    image = np.zeros((1, *SIZE), np.uint8)
    image[:, 10:12, 10:12] = 1
    picture = draw(scene_file(path := make_scene(image)), Style(bands=(0,)), tile_place(*next(iter(tiles_of(path)))))
    assert picture.ranges == ((0, 1),)
    constant = make_scene(np.full((1, *SIZE), 9, np.uint8), "constant.tif")
    pixels = draw(scene_file(constant), Style(bands=(0,)), tile_place(*next(iter(tiles_of(constant))))).pixels
    assert set(pixels[pixels[..., 3] > 0][:, 0].tolist()) == {128}


def test_smaller_zooms_show_the_means_of_an_overview(make_scene: MakeScene, tmp_path: Path) -> None:
    rows, cols = np.mgrid[:2000, :2400]
    ramp = (rows / 2 + cols + 500 * ((rows + cols) % 2)).astype(np.uint16)[None]  # a fine chequer of contrast 500
    to_cog(make_scene(ramp), cog := tmp_path / "cog.tif")
    web = grid(cog)
    assert web.levels >= 3
    for up in range(2, web.levels + 1):
        tile = web.zoom - up, web.left >> up, web.top >> up
        picture = draw(scene_file(cog), Style(bands=(0,), stretch=((0, 4000),)), tile_place(*tile))
        expected = 255 * warped(cog, tile, Resampling.average) / 4000
        inside = (picture.pixels[..., 3] > 0) & np.isfinite(expected)
        assert inside.sum() > 1000
        difference = np.abs(picture.pixels[inside, 0] - expected[inside])
        assert np.percentile(difference, 99) < 2 + 2 ** (up - 2)  # a pixel of the tile is some steps of the ramp wide


def test_a_file_without_overviews_is_thinned_out(make_scene: MakeScene) -> None:
    path = make_scene(np.kron(fields("uint8", size=(100, 500)), np.ones((1, 10, 10), np.uint8)))
    web = grid(path)
    tile = web.zoom - web.levels, web.left >> web.levels, web.top >> web.levels
    style = Style(bands=(0,), stretch=((0, 255),))
    assert check_against_gdal(path, draw(scene_file(path), style, tile_place(*tile)), tile, 0, 255) > 100


@pytest.mark.parametrize("place", GRIDS)
def test_only_tiles_that_the_scene_touches_show_something(make_scene: MakeScene, place: str) -> None:
    path = make_scene(fields("uint8", size=(60, 90)), **GRIDS[place])
    info, style = inspect_scene(path), Style(bands=(0,), stretch=((0, 255),))
    web = web_grid_of(info)
    assert web is not None
    for zoom in (web.zoom - 2, web.zoom, web.zoom + 1):
        side = 1 << zoom
        middle = [int(at * 2.0 ** (zoom - web.zoom)) for at in (web.left, web.top)]
        for col in range(middle[0] - 1, middle[0] + 3):
            for row in range(middle[1] - 1, middle[1] + 3):
                if 0 <= row < side and not web.touches(zoom, col % side, row):
                    assert not draw(scene_file(path), style, tile_place(zoom, col % side, row)).pixels.any()
    assert web.touches(0, 0, 0)
    assert draw(scene_file(path), style, tile_place(0, 0, 0)).pixels.any() == (web.zoom < 9)


@pytest.mark.parametrize("place", GRIDS)
def test_the_tiles_of_a_scene_are_told_from_its_description(make_scene: MakeScene, place: str) -> None:
    path = make_scene(fields("uint8"), **GRIDS[place])
    found, expected = web_grid_of(inspect_scene(path)), grid(path)
    assert found is not None
    assert (found.zoom, found.levels) == (expected.zoom, expected.levels)
    turns = (found.left - expected.left) / 2**found.zoom
    assert turns == round(turns)
    assert found.right - found.left == expected.right - expected.left
    assert (found.top, found.bottom) == (expected.top, expected.bottom)


@pytest.mark.parametrize("place", GRIDS)
def test_a_preview_has_the_whole_scene(make_scene: MakeScene, place: str) -> None:
    image = fields("uint8")
    path = make_scene(image, **GRIDS[place])
    box = world_box(inspect_scene(path).bbox)
    assert box is not None
    small = preview_place(box, grid(path).zoom, 100)
    assert max(small.rows, small.cols) == 100
    picture = draw(scene_file(path), Style(bands=(0,), stretch=((0, 255),)), small)
    shown = picture.pixels[..., 3] > 0
    assert shown.mean() > 0.3
    assert len(np.unique(picture.pixels[shown][:, 0])) > 0.6 * len(np.unique(image))
    large = preview_place(box, grid(path).zoom, 4096)
    assert max(large.rows, large.cols) < 3 * max(SIZE), "no larger than at the largest zoom"


def test_an_overview_is_read_like_a_smaller_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    to_cog(make_scene(fields("uint16", size=(1100, 1500)), transform=GRID), cog := tmp_path / "cog.tif")
    with RasterSource(cog) as whole, RasterSource(cog, overview=0) as half:
        assert (half.rows, half.cols) == (550, 750)
        assert half.dataset.bounds == whole.dataset.bounds
