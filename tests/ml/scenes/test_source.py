import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio._env import get_gdal_config
from rasterio.enums import ColorInterp

from ml.faults import InputRefused
from ml.geo.raster import caching_rows
from ml.geo.windows import Window
from ml.scenes.source import RasterSource
from tests.ml.conftest import MakeScene

ALL = Window(0, 0, 2, 3)


def test_a_pixel_has_no_data_if_any_band_is_nodata(make_scene: MakeScene) -> None:
    image = np.array([[[0, 0, 5], [1, 2, 3]], [[0, 7, 5], [1, 2, 3]]], dtype=np.uint16)
    with RasterSource(make_scene(image, nodata=0)) as source:
        read, valid = source.read(ALL)
    assert valid.tolist() == [[False, False, True], [True, True, True]]
    assert read.dtype == np.float32 and (read == np.where(valid, image, 0)).all()


def test_a_declared_nodata_overrides_the_nodata_of_the_file(make_scene: MakeScene) -> None:
    image = np.array([[[0, 255, 5], [1, 2, 3]]], dtype=np.uint8)
    with RasterSource(make_scene(image, nodata=0), nodata=255) as source:
        assert source.read(ALL)[1].tolist() == [[True, False, True], [True, True, True]]


def test_a_pixel_with_a_band_that_is_not_finite_is_never_valid(make_scene: MakeScene) -> None:
    image = np.ones((2, 2, 3), dtype=np.float32)
    image[1, 0] = np.nan, np.inf, -3.4e38
    with RasterSource(make_scene(image)) as source:
        read, valid = source.read(ALL)
    assert valid.tolist() == [[False] * 3, [True] * 3]
    assert (read[:, 0] == 0).all()


def test_a_nodata_value_that_no_pixel_can_have_is_ignored(make_scene: MakeScene) -> None:
    path = make_scene(np.zeros((1, 2, 3), dtype=np.uint16))
    with RasterSource(path, nodata=-9999) as source:
        assert source.nodata is None
        assert source.read(ALL)[1].all()


def test_alpha_is_a_mask_and_not_a_band(make_scene: MakeScene) -> None:
    image = np.full((4, 2, 3), 9, dtype=np.uint8)
    image[3, 0, 0] = 0
    path = make_scene(image, photometric="RGB", alpha="YES")
    with RasterSource(path) as source:
        read, valid = source.read(ALL)
    assert source.bands == 3 and read.shape == (3, 2, 3)
    assert valid.tolist() == [[False, True, True], [True, True, True]]


def test_alpha_that_has_a_name_is_a_band(make_scene: MakeScene) -> None:
    image = np.full((4, 2, 3), 9, dtype=np.uint8)
    image[3, 0, 0] = 0
    with RasterSource(make_scene(image, photometric="RGB", alpha="YES"), names=("b", "g", "r", "n")) as source:
        read, valid = source.read(ALL)
    assert read.shape == (4, 2, 3)
    assert valid.all()


def test_a_mask_beside_alpha_counts_too(make_scene: MakeScene) -> None:
    image = np.full((4, 2, 3), 9, dtype=np.uint8)
    image[3, 0, 0] = 0
    path = make_scene(image, photometric="RGB", alpha="YES")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.array([[255, 0, 255], [255, 255, 255]], dtype=np.uint8))
    with RasterSource(path) as source:
        assert source.read(ALL)[1].tolist() == [[False, False, True], [True, True, True]]


def test_a_scene_with_four_bands_and_no_alpha_keeps_four_bands(make_scene: MakeScene) -> None:
    path = make_scene(np.ones((4, 2, 3), dtype=np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    with RasterSource(path) as source:
        assert source.bands == 4


def test_pixels_outside_the_internal_mask_are_not_valid(make_scene: MakeScene) -> None:
    path = make_scene(np.ones((3, 2, 3), dtype=np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.array([[0, 255, 255], [255, 255, 0]], dtype=np.uint8))
    with RasterSource(path) as source:
        assert source.read(ALL)[1].tolist() == [[False, True, True], [True, True, False]]


def test_scale_and_offset_are_applied_once(make_scene: MakeScene) -> None:
    path = make_scene(np.array([[[0, 100, 200], [1, 2, 3]]], dtype=np.int16), nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = [0.01], [1.0]
    with RasterSource(path) as source:
        read, valid = source.read(ALL)
    assert read[0, 0].tolist() == [0, 2, 3]
    assert valid[0].tolist() == [False, True, True]


@pytest.mark.parametrize(("scale", "value"), [(np.nan, 1), (np.inf, 1), (1e300, 1e300), (1, 1e300)])
def test_values_that_overflow_float32_are_never_valid(make_scene: MakeScene, scale: float, value: float) -> None:
    path = make_scene(np.full((1, 2, 3), value))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = [scale]
    with RasterSource(path) as source:
        read, valid = source.read(ALL)
    assert not valid.any() and (read == 0).all()


def test_the_message_locates_a_damaged_block(make_scene: MakeScene) -> None:
    path = make_scene(np.arange(12, dtype=np.uint8).reshape(1, 4, 3), compress="deflate")
    path.write_bytes(path.read_bytes().replace(b"x\x9c", b"\0\0").replace(b"x\x01", b"\0\0").replace(b"x^", b"\0\0"))
    with RasterSource(path) as source, pytest.raises(InputRefused, match="around row 0, column 0"):
        source.read(ALL)


def test_a_window_that_leaves_the_scene_is_an_error(make_scene: MakeScene) -> None:
    with (
        RasterSource(make_scene(np.ones((1, 2, 3), dtype=np.uint8))) as source,
        pytest.raises(ValueError, match="leaves the scene of 2 x 3 px"),
    ):
        source.read(Window(1, 0, 2, 1))


@pytest.mark.skipif(sys.platform != "linux", reason="needs the I/O counters in /proc")
@pytest.mark.parametrize("blocks", [{"tiled": True, "blockxsize": 256, "blockysize": 256}, {"blockysize": 48}])
def test_each_block_is_read_once_with_the_limited_cache(tmp_path: Path, blocks: dict[str, int]) -> None:
    path, rows = tmp_path / "wide.tif", 1024
    kind = {"driver": "GTiff", "count": 4, "dtype": "uint16", "transform": Affine(2, 0, 0, 0, -2, 0), **blocks}
    with rasterio.open(path, "w", height=rows, width=8192, **kind) as file:
        file.write(np.random.default_rng(0).integers(0, 9999, (4, rows, 8192), np.uint16))
    with RasterSource(path) as source, caching_rows(source.dataset, 64):
        assert int(get_gdal_config("GDAL_CACHEMAX")) < path.stat().st_size / 2
        before = bytes_read()
        for row in range(0, rows, 64):
            source.read(Window(row, 0, 64, source.cols))
        assert bytes_read() - before < 1.1 * path.stat().st_size


def bytes_read() -> int:
    """Return the number of bytes that this process has read, from files and from the system's caches."""
    return int(Path("/proc/self/io").read_text().split()[1])
