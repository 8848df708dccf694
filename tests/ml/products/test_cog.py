"""Maps and scenes are written as cloud-optimised GeoTIFFs."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from benchmarks.fuzzing.tiff_mutations import Tiff
from ml.faults import InputRefused
from ml.geo.raster import open_raster, pixel_types
from ml.products.cog import MapEncoding, is_cog, to_cog, write_cog
from ml.scenes import tiff_directories as tag
from ml.scenes.tiff_directories import directories
from tests.ml.conftest import MakeScene

LAYER = MapEncoding("class", colours={0: (0, 0, 0, 255), 1: (76, 175, 80, 255)}, tags={"class_1": "sugarcane"})


def test_a_map_lies_on_exactly_the_grid_of_its_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(np.zeros((4, 700, 600), np.uint16))
    values = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (700, 600))
    write_cog(values, scene, tmp_path / "classes.tif", LAYER)
    with open_raster(tmp_path / "classes.tif") as made, open_raster(scene) as original:
        assert (made.crs, made.transform, made.shape) == (original.crs, original.transform, original.shape)
        assert np.array_equal(made.read(1), values)
        assert made.nodata == 255
        assert made.colormap(1)[1] == (76, 175, 80, 255)
        assert made.tags()["class_1"] == "sugarcane"
        assert made.descriptions == ("class",)
        assert made.overviews(1)
    assert is_cog(tmp_path / "classes.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.tif", "scene.tif"]


def test_overviews_of_a_class_map_have_only_values_of_classes(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.random.default_rng(0).choice(np.array([0, 200], np.uint8), (1100, 1100))
    write_cog(values, make_scene(np.zeros((1, 1100, 1100), np.uint8)), tmp_path / "classes.tif", LAYER)
    with open_raster(tmp_path / "classes.tif") as made:
        assert set(np.unique(made.read(1, out_shape=(275, 275)))) <= {0, 200}


def test_blocks_that_were_not_observed_take_no_room(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.full((5000, 6000), 255, np.uint8)
    values[900:1100, 900:1100] = 1
    ticks: list[None] = []
    scene, made_at = make_scene(np.zeros((1, 5000, 6000), np.uint8)), tmp_path / "c.tif"
    write_cog(values, scene, made_at, LAYER, lambda: ticks.append(None))
    with open_raster(made_at) as made:
        assert np.array_equal(made.read(1), values)
        assert (made.read(1, out_shape=(313, 375)) != 255).any()
    with made_at.open("rb") as file:
        counts = next(directories(file, made_at.stat().st_size)).array(tag.TILE_BYTE_COUNTS)
    assert (counts > 0).sum() == 4, "of 120 blocks, those that the patch touches"
    assert len(ticks) > 120, "it is heard of before every block"


def test_a_scaled_map_has_its_scale_and_its_offset(make_scene: MakeScene, tmp_path: Path) -> None:
    layer = MapEncoding("probability", scale=0.004, offset=0.002, resampling="average")
    write_cog(np.full((64, 64), 125, np.uint8), make_scene(np.zeros((1, 64, 64), np.uint8)), tmp_path / "p.tif", layer)
    with open_raster(tmp_path / "p.tif") as made:
        assert (made.scales, made.offsets) == ((0.004,), (0.002,))


def test_a_scene_becomes_a_cog_without_changing_a_pixel(make_scene: MakeScene, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 60_000, (4, 600, 700), dtype=np.uint16)
    scene = make_scene(image, nodata=0)
    assert not is_cog(scene)
    to_cog(scene, tmp_path / "cog.tif")
    assert is_cog(tmp_path / "cog.tif")
    with open_raster(tmp_path / "cog.tif") as made:
        assert np.array_equal(made.read(), image)
        assert made.nodata == 0


def test_overviews_of_a_scene_are_computed_from_its_pixels(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(np.full((1, 1100, 1100), 7, np.uint8))
    with rasterio.open(scene, "r+") as dataset:
        dataset.build_overviews([2])
        dataset.write(np.full((1, 1100, 1100), 9, np.uint8))
    to_cog(scene, tmp_path / "cog.tif")
    with open_raster(tmp_path / "cog.tif") as made:
        assert (made.read(1, out_shape=(550, 550)) == 9).all()


def assert_same_scene(scene: Path, cog: Path) -> None:
    """A COG has the pixels, the place, the mask and the meaning of its scene."""
    with open_raster(scene) as original, open_raster(cog) as made:
        assert pixel_types(made) == pixel_types(original)
        assert np.array_equal(made.read(), original.read(), equal_nan=True)
        assert np.array_equal(made.read_masks(), original.read_masks())
        for name in ("crs", "transform", "shape", "colorinterp", "scales", "offsets", "descriptions"):
            assert getattr(made, name) == getattr(original, name), name
    assert is_cog(cog)
    assert sorted(path.name for path in cog.parent.iterdir()) == sorted({cog.name, scene.name})


DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "zstd", "packbits", "lzma", "lerc"])
def test_a_scene_of_any_type_and_compression_becomes_a_cog(
    make_scene: MakeScene, tmp_path: Path, dtype: str, compress: str
) -> None:
    if (dtype, compress) == ("int8", "lerc"):
        return  # GDAL cannot write such a file
    whole = np.random.default_rng(0).integers(0, 2**31, (3, 60, 70))
    image = (whole / 7).astype(dtype) if dtype.startswith("float") else whole.astype(dtype)
    predictors: tuple[dict[str, int], ...] = ({},)
    if compress in ("deflate", "lzw", "zstd"):
        predictors = ({"predictor": 2}, {"predictor": 3}) if dtype.startswith("float") else ({"predictor": 2},)
    for predictor in predictors:
        scene = make_scene(image, compress=compress, **predictor)
        to_cog(scene, tmp_path / "cog.tif")
        assert_same_scene(scene, tmp_path / "cog.tif")


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_scene_of_any_number_of_bits_becomes_a_cog(make_scene: MakeScene, tmp_path: Path, bits: int) -> None:
    image = np.random.default_rng(0).integers(0, 2**bits, (2, 60, 70)).astype(np.uint8 if bits <= 8 else np.uint16)
    for blocks in ({"interleave": "band"}, {"compress": "deflate"}):
        scene = make_scene(image, nbits=bits, **blocks)
        to_cog(scene, tmp_path / "cog.tif")
        assert_same_scene(scene, tmp_path / "cog.tif")


def test_a_scene_of_float16_becomes_a_cog(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(np.random.default_rng(0).random((2, 60, 70), dtype=np.float32), nbits=16, nodata=np.nan)
    to_cog(scene, tmp_path / "cog.tif")
    assert_same_scene(scene, tmp_path / "cog.tif")


@pytest.mark.parametrize(
    ("bands", "profile"),
    [
        (4, {"photometric": "RGB", "alpha": "YES"}),
        (4, {"photometric": "RGB", "alpha": "PREMULTIPLIED", "interleave": "band"}),
        (3, {"photometric": "ycbcr", "compress": "jpeg"}),
        (3, {"compress": "webp"}),
        (1, {"photometric": "palette"}),
    ],
)
def test_a_scene_of_colours_keeps_them_in_its_cog(
    make_scene: MakeScene, tmp_path: Path, bands: int, profile: dict[str, str]
) -> None:
    image = np.random.default_rng(0).integers(0, 2, (bands, 600, 40), dtype=np.uint8) * 100
    scene = make_scene(image, **profile)
    to_cog(scene, tmp_path / "cog.tif")
    with open_raster(scene) as original, open_raster(tmp_path / "cog.tif") as made:
        assert np.array_equal(made.read(), original.read())
        assert np.array_equal(made.dataset_mask(), original.dataset_mask())
        alphas = [[color == ColorInterp.alpha for color in each.colorinterp] for each in (made, original)]
        assert alphas[0] == alphas[1]
        if "palette" in profile.values():
            assert made.colormap(1) == original.colormap(1)


def test_the_mask_of_a_scene_stays_in_its_cog_and_its_metadata_do_not(make_scene: MakeScene, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (2, 700, 600), dtype=np.uint16)
    mask = np.where(np.arange(600) < 200, 0, 255).astype(np.uint8) * np.ones((700, 1), np.uint8)
    scene = make_scene(image)
    with rasterio.open(scene, "r+") as dataset:
        dataset.write_mask(mask)
        dataset.update_tags(note="of the scene")
        dataset.update_tags(1, note="of a band")
        dataset.update_tags(ns="SENSOR", note="of a domain")
        dataset.scales, dataset.offsets, dataset.descriptions = (0.1, 0.2), (1, 2), ("red", "nir")
    to_cog(scene, tmp_path / "cog.tif")
    assert_same_scene(scene, tmp_path / "cog.tif")
    with open_raster(tmp_path / "cog.tif") as made:
        assert np.array_equal(made.read_masks(1), mask)
        assert made.tags() == {"AREA_OR_POINT": "Area"}
    assert b"of a" not in (tmp_path / "cog.tif").read_bytes()


def test_bits_that_only_the_metadata_declare_take_no_bits_from_a_cog(make_scene: MakeScene, tmp_path: Path) -> None:
    xml = '<GDALMetadata><Item name="NBITS" domain="IMAGE_STRUCTURE" sample="0" role="">3</Item></GDALMetadata>\0'
    scene = make_scene(np.random.default_rng(0).integers(0, 60_000, (1, 60, 70), dtype=np.uint16))
    scene.write_bytes(Tiff.parse(scene.read_bytes()).adding_text(42112, xml.encode()).build())
    to_cog(scene, tmp_path / "cog.tif")
    assert_same_scene(scene, tmp_path / "cog.tif")


def test_a_damaged_scene_leaves_no_file_behind(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(np.random.default_rng(0).integers(0, 99, (1, 600, 600), dtype=np.uint8), compress="deflate")
    content = bytearray(scene.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    scene.write_bytes(content)
    with pytest.raises(InputRefused, match="cannot all be decoded"):
        to_cog(scene, tmp_path / "cog.tif")
    assert not (tmp_path / "cog.tif.plain").exists()


def test_the_blocks_of_a_copy_with_many_bands_are_smaller(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(np.random.default_rng(0).random((100, 150, 300)), "many.tif")
    to_cog(scene, tmp_path / "cog.tif")
    with rasterio.open(scene) as before, rasterio.open(tmp_path / "cog.tif") as after:
        assert after.block_shapes[0] == (256, 256)
        assert (after.read() == before.read()).all()
