"""The directories of a GeoTIFF are read in Python as GDAL reads them, or the file is refused."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from benchmarks.fuzzing.tiff_mutations import mutate
from ml.faults import InputRefused
from ml.geo.raster import open_raster, pixel_types
from ml.scenes.inspect import inspect_scene
from ml.scenes.tiff_agreement import check_raster
from ml.scenes.tiff_safety import TiffLayout
from tests.ml.conftest import write_scene
from tests.rounds import rounds

RNG = np.random.default_rng(0)
BLOCKS: list[dict[str, Any]] = [
    {"blockysize": 7},
    {"blockysize": 40},
    {"tiled": True, "blockxsize": 16, "blockysize": 32},
    {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band"},
]
FORMS: list[dict[str, Any]] = [{}, {"endianness": "big"}, {"bigtiff": "yes"}, {"bigtiff": "yes", "endianness": "big"}]
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
COMPRESSIONS = ["none", "deflate", "lzw", "zstd", "packbits", "lzma", "lerc", "lerc_deflate", "lerc_zstd"]


def assert_read_alike(layout: TiffLayout, path: Path) -> None:
    with open_raster(path) as dataset:
        assert (layout.rows, layout.cols, layout.bands) == (dataset.height, dataset.width, dataset.count)
        assert {layout.dtype} == set(pixel_types(dataset))
        assert layout.overviews == len(dataset.overviews(1))
        assert layout.masked == (MaskFlags.per_dataset in dataset.mask_flag_enums[0] and not has_alpha(dataset))
        if layout.tiled or layout.block_rows < layout.rows:
            assert {(layout.block_rows, layout.block_cols)} == set(dataset.block_shapes)


def has_alpha(dataset: DatasetReader) -> bool:
    return MaskFlags.alpha in dataset.mask_flag_enums[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("blocks", BLOCKS)
def test_layouts_of_every_form_are_read_as_gdal_reads_them(tmp_path: Path, blocks: Any, form: Any) -> None:
    for compress, dtype in product(COMPRESSIONS, DTYPES):
        if compress.startswith("lerc") and dtype == "int8":
            continue  # GDAL cannot write it
        image = RNG.integers(0, 100, (3, 40, 50)).astype(dtype)
        path = write_scene(tmp_path / "x.tif", image, compress=compress, nodata=7, **blocks, **form)
        layout = check_raster(path)
        assert_read_alike(layout, path)
        assert float(layout.nodata) == 7


@pytest.mark.parametrize("bits", range(1, 32))
def test_pixels_of_any_number_of_bits_are_read_as_gdal_reads_them_or_refused(tmp_path: Path, bits: int) -> None:
    dtype = next(dtype for most, dtype in ((8, "uint8"), (16, "uint16"), (32, "uint32")) if bits <= most)
    image = RNG.integers(0, 2**bits, (2, 40, 50)).astype(dtype)
    path = write_scene(tmp_path / "x.tif", image, nbits=bits, compress="deflate")
    if bits > 16:
        with pytest.raises(InputRefused, match="unsigned integer, of"):
            check_raster(path)
        return
    layout = check_raster(path)
    assert_read_alike(layout, path)
    with open_raster(path) as dataset:
        assert np.array_equal(dataset.read(), image)


def test_float16_is_read_as_gdal_reads_it(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "x.tif", RNG.random((1, 40, 50), dtype=np.float32), nbits=16, compress="zstd")
    assert_read_alike(check_raster(path), path)


@pytest.mark.parametrize("shape", [(1, 1, 64), (1, 64, 1), (1, 1, 1), (256, 3, 3), (4, 300, 2)])
def test_images_of_odd_shapes_are_read_as_gdal_reads_them(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    for blocks in (BLOCKS[0], BLOCKS[3]):
        path = write_scene(tmp_path / "x.tif", np.ones(shape, np.uint16), sparse_ok=True, **blocks)
        assert_read_alike(check_raster(path), path)


@pytest.mark.parametrize(
    ("bands", "profile"),
    [
        (3, {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 16, "blockysize": 16}),
        (3, {"compress": "jpeg", "photometric": "ycbcr", "blockysize": 16}),
        (3, {"compress": "webp"}),
        (4, {"photometric": "RGB", "alpha": "YES"}),
        (4, {"photometric": "RGB", "alpha": "PREMULTIPLIED", "interleave": "band"}),
        (1, {"photometric": "palette"}),
        (1, {"photometric": "MINISWHITE"}),
        (2, {"photometric": "MINISBLACK", "alpha": "YES", "bigtiff": "YES"}),
    ],
)
def test_colours_and_alpha_are_read_as_gdal_reads_them(tmp_path: Path, bands: int, profile: dict[str, Any]) -> None:
    path = write_scene(tmp_path / "x.tif", RNG.integers(0, 99, (bands, 40, 50), dtype=np.uint8), **profile)
    assert_read_alike(check_raster(path), path)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_overviews_masks_and_metadata_are_read_as_gdal_reads_them(tmp_path: Path, blocks: dict[str, Any]) -> None:
    path = write_scene(tmp_path / "x.tif", RNG.integers(0, 99, (3, 40, 50), dtype=np.uint16), **blocks)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.full((40, 50), 255, dtype=np.uint8))
        dataset.build_overviews([2, 4])
        dataset.update_tags(author="somebody", AREA_OR_POINT="Point")
        dataset.update_tags(ns="SENSOR", platform="Beijing-2")
        dataset.scales, dataset.descriptions = (0.1, 0.1, 0.1), ("a", "b", "c")
    layout = check_raster(path)
    assert_read_alike(layout, path)
    assert layout.overviews == 2
    assert layout.masked


def originals(folder: Path) -> list[bytes]:
    """Files of the forms that are changed at random: small, so that most changes hit a directory."""
    image = RNG.integers(1, 99, (2, 20, 33), dtype=np.uint8)
    made = [
        write_scene(folder / "x.tif", image, **blocks, **form, compress=compress).read_bytes()
        for blocks, form, compress in zip(BLOCKS, FORMS, ("none", "deflate", "lzw", "zstd"), strict=True)
    ]
    path = write_scene(folder / "y.tif", image.astype(np.float32), nodata=7, predictor=3, compress="deflate")
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
        dataset.write_mask(np.full((20, 33), 255, dtype=np.uint8))
        dataset.update_tags(author="somebody")
    return [*made, path.read_bytes()]


@pytest.mark.parametrize("batch", range(8))
def test_a_changed_file_is_read_as_gdal_reads_it_or_refused(tmp_path: Path, batch: int) -> None:
    foreign = write_scene(tmp_path / "foreign.tif", np.full((2, 20, 33), 177, np.uint8))
    kept, path = 0, tmp_path / "changed.tif"
    for content in originals(tmp_path):
        for seed in range(batch * 20, batch * 20 + 20):
            path.write_bytes(mutate(content, seed, str(foreign)))
            try:
                layout = check_raster(path)
            except InputRefused as refused:
                assert all(fault.detail and fault.hint for fault in refused.faults)
                continue
            kept += 1
            assert_read_alike(layout, path)
            with open_raster(path) as dataset:
                assert not any(dataset.tags(ns=domain) for domain in ("OVERVIEWS", "GEOLOCATION")), seed
    assert kept > 5


@pytest.mark.parametrize("seed", range(rounds(20)))
def test_the_scene_in_a_changed_file_is_described_or_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "changed.tif"
    for content in originals(tmp_path):
        path.write_bytes(mutate(content, 1000 + seed))
        try:
            info = inspect_scene(path)
        except InputRefused as refused:
            assert all(fault.detail and fault.hint for fault in refused.faults)
        else:
            assert info.rows > 0
            assert info.bands
