import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from ml.contract import BandStatistics, Contract, Scaling
from ml.faults import InputRefused
from ml.scenes.bands import find_band, in_true_colour, same_band
from ml.scenes.compatibility import contract_faults, contract_of, order_notes, radiometry_notes
from ml.scenes.inspect import SceneInfo, inspect_scene
from tests.ml.conftest import GRID, MakeScene

RNG = np.random.default_rng(0)
NUMBERS = [f"{name}_{kind}" for name in ("height", "lat", "line", "long", "samp") for kind in ("off", "scale")]
COEFFICIENTS = [f"{name}_{kind}_coeff" for name in ("line", "samp") for kind in ("num", "den")]
IMAGE = RNG.integers(1, 200, (4, 60, 80), dtype=np.uint16)


def codes(path: Path, **options: Any) -> list[str]:
    with pytest.raises(InputRefused) as refused:
        inspect_scene(path, **options)
    return [fault.code for fault in refused.value.faults]


def contract(**changes: Any) -> Contract:
    fields = {"bands": ("b", "g", "r", "nir"), "dtype": "uint16", "gsd": 10.0, "nodata": None, "statistics": ()}
    return Contract(**(fields | changes))


def test_a_scene_is_described_with_its_place_and_bands(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE, nodata=0)
    info = inspect_scene(path, bands=["b", "g", "r", "nir"])
    assert (info.rows, info.cols, info.dtype, info.nodata, info.crs_code) == (60, 80, "uint16", 0, "EPSG:32648")
    assert [band.name for band in info.bands] == ["b", "g", "r", "nir"]
    assert info.transform == tuple(GRID[:6]) and info.bounds == (500_000, 1_199_400, 500_800, 1_200_000)
    assert info.gsd == pytest.approx(10.004, abs=1e-3)
    assert info.bbox == pytest.approx((105.0, 10.85005, 105.0073, 10.85548), abs=1e-4)
    assert info.size_bytes == path.stat().st_size and info.warnings == ()
    assert SceneInfo.model_validate_json(info.model_dump_json()) == info


def test_statistics_are_computed_from_valid_pixels_only(make_scene: MakeScene) -> None:
    image = IMAGE.copy()
    image[:, :10] = 0
    bands = inspect_scene(make_scene(image, nodata=0)).bands
    assert bands[1].statistics.mean == pytest.approx(image[1, 10:].mean())
    assert bands[1].statistics.std == pytest.approx(image[1, 10:].std())
    assert (bands[1].statistics.min, bands[1].statistics.max) == (image[1, 10:].min(), image[1, 10:].max())


LOSSY: list[dict[str, Any]] = [
    {"compress": "JPEG"},
    {"compress": "JPEG", "photometric": "YCBCR"},
    {"compress": "WEBP", "webp_level": 50},
    {"compress": "LERC", "max_z_error": 1},
]
LOSSLESS: list[dict[str, Any]] = [
    {"compress": "WEBP", "webp_lossless": True},
    {"compress": "LERC"},
    {"compress": "LERC", "max_z_error": 0.5},
    {"compress": "DEFLATE"},
]


@pytest.mark.parametrize("options", [*LOSSY, *LOSSLESS])
def test_nodata_that_compression_blurs_is_pointed_out(make_scene: MakeScene, options: dict[str, Any]) -> None:
    image = np.random.default_rng(0).integers(60, 200, (3, 64, 64)).astype(np.uint8)
    image[:, :, :21] = 0
    for marked in ({"nodata": 0}, {}):
        warnings = inspect_scene(make_scene(image, tiled=True, **options, **marked)).warnings
        found = [note.detail for note in warnings if note.code == "lossy_nodata"]
        assert len(found) == (options in LOSSY and bool(marked)), warnings
        assert all("nodata value 0" in detail for detail in found)


def test_alpha_that_compression_blurs_is_pointed_out(make_scene: MakeScene) -> None:
    image = np.random.default_rng(0).integers(60, 200, (2, 64, 64)).astype(np.uint8)
    warnings = inspect_scene(make_scene(image, tiled=True, compress="JPEG", alpha="YES")).warnings
    assert ["the alpha band" in note.detail for note in warnings if note.code == "lossy_nodata"] == [True]


def test_a_scene_far_from_where_its_crs_is_used_is_pointed_out(make_scene: MakeScene) -> None:
    krovak = {"crs": "EPSG:5513", "transform": Affine(10, 0, 700_000, 0, -10, 1_050_000)}  # it counts south, then west
    *_, note = inspect_scene(make_scene(IMAGE, **krovak)).warnings
    assert note.code == "outside_area_of_use" and "2.9 degrees" in note.detail and "9.2" in note.detail


@pytest.mark.parametrize("crs", ["EPSG:32648", "EPSG:32601", "EPSG:3857"])
def test_degrees_in_a_projected_crs_are_pointed_out(make_scene: MakeScene, crs: str) -> None:
    degrees = {"crs": crs, "transform": Affine(1e-4, 0, 108.3, 0, -1e-4, 22.8)}
    found = [note for note in inspect_scene(make_scene(IMAGE, **degrees)).warnings if note.code == "like_degrees"]
    assert len(found) == 1 and "from 108.3, 22.794 to 108.308, 22.8 look like degrees" in found[0].detail


@pytest.mark.parametrize(
    "grid",
    [
        {"crs": "EPSG:4326", "transform": Affine(1e-4, 0, 108.3, 0, -1e-4, 22.8)},
        {"crs": "+proj=utm +zone=48 +units=km", "transform": Affine(0.01, 0, 300, 0, -0.01, 80)},
        {"crs": "EPSG:3857", "transform": Affine(10, 0, 0, 0, -10, 0)},
    ],
)
def test_other_small_coordinates_are_not_taken_for_degrees(make_scene: MakeScene, grid: dict[str, Any]) -> None:
    assert "like_degrees" not in [note.code for note in inspect_scene(make_scene(IMAGE, **grid)).warnings]


@pytest.mark.parametrize(
    ("grid", "oblong"),
    [
        ({"transform": Affine(6, 0, 500_000, 0, -20, 1_200_000)}, "6.002 m wide and 20.01 m high"),
        ({"crs": "EPSG:4326", "transform": Affine(1e-4, 0, 30, 0, -1e-4, 65)}, "4.718 m wide and 11.15 m high"),
        ({"crs": "EPSG:4326", "transform": Affine(1e-4, 0, 108, 0, -1e-4, 23)}, ""),
        ({"transform": GRID @ Affine.rotation(30)}, ""),
    ],
)
def test_pixels_that_are_not_square_on_the_ground_are_pointed_out(
    make_scene: MakeScene, grid: dict[str, Any], oblong: str
) -> None:
    info = inspect_scene(make_scene(IMAGE, **grid))
    found = [note.detail for note in info.warnings if note.code == "oblong_pixels"]
    assert len(found) == bool(oblong) and all(oblong in detail for detail in found)
    assert [note.code for note in radiometry_notes(info, contract())] == ["oblong_pixels"] * len(found)


def test_latitude_and_longitude_are_not_swapped(make_scene: MakeScene) -> None:
    info = inspect_scene(make_scene(IMAGE, crs="EPSG:4326", transform=Affine(1e-4, 0, 108, 0, -1e-4, 23)))
    assert info.bbox == pytest.approx((108, 22.994, 108.008, 23))
    assert info.gsd == pytest.approx(math.sqrt(11.074 * 10.253), rel=1e-3)


def test_rotated_sheared_and_south_up_grids_keep_their_pixel_size(make_scene: MakeScene) -> None:
    turn = Affine.translation(500_000, 1_200_000) @ Affine.rotation(30)
    for matrix in (Affine.scale(10, -10), Affine.scale(10, 10), Affine(10, 4, 0, 0, -10, 0)):
        info = inspect_scene(make_scene(IMAGE, transform=turn @ matrix))
        assert info.gsd == pytest.approx(10.004, abs=1e-3)


def test_the_footprint_of_a_scene_across_the_date_line_is_cut_there(make_scene: MakeScene) -> None:
    info = inspect_scene(make_scene(IMAGE, crs="EPSG:4326", transform=Affine(1e-4, 0, 179.996, 0, -1e-4, -16)))
    assert info.footprint["type"] == "MultiPolygon"
    assert info.bbox == pytest.approx((179.996, -16.006, -179.996, -16))


@pytest.mark.parametrize(
    ("crs", "transform", "code"),
    [
        (None, GRID, "missing_crs"),
        ("EPSG:4326", GRID, "bad_extent"),
        ("EPSG:32648", Affine(10, 0, 9_000_000, 0, -10, 1_200_000), "bad_extent"),
        ("+proj=tmerc +lat_0=0 +lon_0=105 +k=1e300 +datum=WGS84", GRID, "bad_extent"),  # all of it is one point
        ("EPSG:32648", Affine(1e300, 0, 0, 0, -1, 0), "bad_transform"),
        ("EPSG:32648", Affine(math.nan, 0, 0, 0, -1, 0), "bad_transform"),
        ("EPSG:32648", Affine(10, 10, 5e5, 10, 10, 1e6), "bad_transform"),
        ("EPSG:3857", Affine(1e-9, 0, 1e7, 0, -1e-9, 1e7), "bad_transform"),  # all places in a pixel are one float64
        ('LOCAL_CS["here",UNIT["metre",1]]', GRID, "unknown_crs"),
        ("ESRI:104905", Affine(0.001, 0, 1, 0, -0.001, 1), "unknown_crs"),  # Mars
    ],
)
def test_a_scene_without_a_place_on_earth_is_refused(
    make_scene: MakeScene, crs: str | None, transform: Affine, code: str
) -> None:
    assert codes(make_scene(IMAGE, crs=crs, transform=transform)) == [code]


def test_all_faults_of_a_scene_are_reported_together(make_scene: MakeScene) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        path = make_scene(np.ones((1, 2, 2), dtype=np.uint8), crs=None, transform=Affine.identity())
    assert sorted(codes(path)) == ["missing_crs", "missing_georeference", "too_small"]


def test_a_scene_without_a_valid_pixel_is_refused(make_scene: MakeScene) -> None:
    assert codes(make_scene(np.zeros((1, 40, 40), dtype=np.uint8), nodata=0)) == ["no_valid_pixels"]


def test_a_single_valid_pixel_is_found_anywhere(make_scene: MakeScene) -> None:
    image = np.zeros((1, 1500, 5000), dtype=np.uint8)
    image[0, 1200, 4000] = 7
    info = inspect_scene(make_scene(image, nodata=0, compress="deflate"))
    assert info.bands[0].statistics.max == 7


def test_polynomials_beside_a_grid_are_noted_and_those_without_a_grid_refused(make_scene: MakeScene) -> None:
    polynomials = RPC(**dict.fromkeys(NUMBERS, 1.0), **dict.fromkeys(COEFFICIENTS, [1.0] * 20))
    path = make_scene(IMAGE, rpcs=polynomials)
    assert [note.code for note in inspect_scene(path).warnings] == ["rpc_ignored"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        for nowhere in (None, Affine.identity()):
            assert codes(make_scene(IMAGE, rpcs=polynomials, transform=nowhere)) == ["rpc_unsupported"]


def test_an_image_of_alpha_alone_is_refused(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE[:1])
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.alpha]
    assert codes(path) == ["no_bands"]


def test_band_names_come_from_the_owner_then_the_file_then_the_colours(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE[:3].astype(np.uint8), photometric="RGB")
    assert [band.name for band in inspect_scene(path).bands] == ["red", "green", "blue"]
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B04", "B03", "B02")
    assert [band.name for band in inspect_scene(path).bands] == ["B04", "B03", "B02"]
    assert [band.name for band in inspect_scene(path, bands=("x", "y", "z")).bands] == ["x", "y", "z"]
    assert [band.name for band in inspect_scene(make_scene(IMAGE)).bands] == ["1", "2", "3", "4"]


def test_descriptions_that_are_not_band_names_are_ignored(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = [f"tile{number}_Amazon_1052.tiff-006-002" for number in range(1, 5)]
    bands = inspect_scene(path).bands
    assert [band.name for band in bands] == ["1", "2", "3", "4"]
    assert bands[0].description == "tile1_Amazon_1052.tiff-006-002"


def test_descriptions_that_are_not_utf_8_are_ignored(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ["AAAA", "green", "red", "nir"]
    path.write_bytes(path.read_bytes().replace(b"AAAA", "蓝色".encode("gbk")))
    assert [band.description for band in inspect_scene(path).bands] == [None] * 4


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("r", "Red", True),
        ("B02 blue", "b", True),
        ("B02", "B2", True),
        ("B8A", "b08", False),
        ("red", "Red edge 1", False),
        ("red", "nir", False),
        ("1", "nir", True),
        ("B04", "nir", True),
        ("B04", "blue", False),
        ("B08", "red", False),
        ("B08", "nir", True),
        ("B8A", "red", False),
        ("B12", "swir2", True),
        ("B05", "red", True),
        ("近红外", "nir", True),
        ("红", "nir", False),
        ("红边1", "Red edge 1", True),
        ("B02 蓝", "blue", True),
        ("绿光波段", "g", True),
        ("VV", "vv", True),
        ("vv", "vh", False),
        ("vv", "red", False),
    ],
)
def test_band_names_are_compared_by_their_meaning(one: str, other: str, same: bool) -> None:
    assert same_band(one, other) is same and same_band(other, one) is same


@pytest.mark.parametrize("names", [["r", "g"], ["r", "r", "g", "b"], ["r", "g", "b", ""], ["r", "g", "b", "\0"]])
def test_band_names_that_do_not_fit_the_scene_are_refused(make_scene: MakeScene, names: list[str]) -> None:
    assert codes(make_scene(IMAGE), bands=names) == ["bad_bands"]


def test_suspicious_values_give_warnings(make_scene: MakeScene) -> None:
    image = np.full((1, 40, 40), 9, dtype=np.uint8)
    assert [note.code for note in inspect_scene(make_scene(image)).warnings] == ["low_variance"]
    image[0, :20] = 255
    assert [note.code for note in inspect_scene(make_scene(image)).warnings] == ["suspect_nodata"]
    notes = inspect_scene(make_scene(image), nodata=-9999).warnings
    assert [note.code for note in notes] == ["nodata_unusable", "suspect_nodata"]


def noted(path: Path, **options: Any) -> list[str]:
    return [note.code for note in inspect_scene(path, **options).warnings]


@pytest.mark.parametrize("fill", [9.96920996838687e36, 1e20, 3.4e38, -3.4e38, -1e30, 1e15, math.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_that_nothing_measured_can_have_are_not_valid(make_scene: MakeScene, fill: float, dtype: str) -> None:
    image = IMAGE.astype(dtype)
    image[2, :30] = fill
    info = inspect_scene(make_scene(image))
    assert info.bands[2].statistics.max < 200
    (note,) = info.warnings
    assert note.code == "fill_values" and note.detail.startswith("2,400 of 4,800 ")
    assert noted(make_scene(np.where(image == fill, 5, image).astype(dtype))) == []


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("float32", -9999), ("float64", 1e10), ("int16", -9999), ("int32", -32768), ("uint16", 65535), ("uint32", 2**31)],
)
def test_a_value_far_outside_all_others_of_a_band_is_noted(make_scene: MakeScene, dtype: str, fill: float) -> None:
    image = IMAGE.astype(dtype)
    image[1, 0, :48] = fill
    (note,) = inspect_scene(make_scene(image)).warnings
    assert note.code == "suspect_nodata"
    assert note.detail.startswith(f"1.0% of the sampled pixels are {fill:.9g} in band 2,")
    assert note.hint.endswith(f"nodata={fill:.9g}.")
    assert noted(make_scene(image), nodata=fill) == ["partial_nodata"]


@pytest.mark.parametrize(
    ("low", "high", "noted_value"), [(-9999, 700, -9999), (700, 9999, 9999), (0, 1, None), (3, 30, None), (-1, 1, -1)]
)
def test_one_of_two_values_is_a_suspect_if_it_is_far_from_the_other(
    make_scene: MakeScene, low: int, high: int, noted_value: int | None
) -> None:
    image = IMAGE[:2].astype(np.int32)
    image[1] = np.where(np.arange(80) < 2, *((high, low) if noted_value == high else (low, high)))
    notes = inspect_scene(make_scene(image)).warnings
    assert [note.hint.split("=")[-1] for note in notes] == ([f"{noted_value}."] if noted_value is not None else [])


def test_bright_and_dark_places_are_no_suspects(make_scene: MakeScene) -> None:
    image = RNG.integers(300, 3000, (2, 60, 80), dtype=np.int32)
    image[:, :10] = 16_000  # clouds that all have the highest value of the sensor
    image[:, 50:55] = -40
    assert noted(make_scene(image)) == []


def test_a_nodata_value_in_one_band_is_no_measurement_and_is_noted(make_scene: MakeScene) -> None:
    image = np.full((2, 64, 64), 700, dtype=np.float32)
    image[0] = RNG.integers(500, 1500, (64, 64))
    image[1, :14] = -9999
    info = inspect_scene(make_scene(image, nodata=-9999))
    assert info.bands[1].statistics.mean == 700
    note = info.warnings[0]
    assert note.code == "partial_nodata" and "896 of 4,096 sampled pixels" in note.detail and "-9999" in note.detail


@pytest.mark.parametrize(
    ("dtype", "low", "high", "codes"),
    [
        ("uint32", 4_000_000_000, 4_000_000_100, ["precision_lost"]),
        ("int32", -2_000_000_100, -2_000_000_000, ["precision_lost"]),
        ("float64", 1e9, 1e9 + 8, ["precision_lost"]),
        ("uint32", 0, 4_000_000_000, []),
        ("uint32", 65_000, 65_001, []),
        ("float64", 0.1, 0.3, []),
    ],
)
def test_values_that_blur_in_single_precision_are_noted(
    make_scene: MakeScene, dtype: str, low: float, high: float, codes: list[str]
) -> None:
    image = RNG.uniform(low, high, (1, 64, 64)).astype(dtype)
    image[0, 0, :2] = low, high
    info = inspect_scene(make_scene(image))
    assert [note.code for note in info.warnings] == codes
    assert [note.code for note in radiometry_notes(info, contract())] == codes
    known = info.bands[0].statistics
    assert (known.min, known.max) == (low, high)
    assert known.std == pytest.approx(image.astype(np.float64).std())


def test_chinese_descriptions_name_the_bands(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("近红外", "红", "绿", "蓝")
    info = inspect_scene(path)
    assert [band.name for band in info.bands] == ["近红外", "红", "绿", "蓝"]
    assert [fault.code for fault in contract_faults(info, contract())] == ["wrong_bands"]


@pytest.mark.parametrize(
    ("names", "known", "unsure"),
    [
        (None, ("b", "g", "r", "nir"), "1 as b, 2 as g, 3 as r, 4 as nir"),
        (("B02", "B03", "B04", "B08"), ("b", "g", "r", "nir"), "B02 as b, B03 as g, B04 as r, B08 as nir"),
        (("blue", "green", "red", "B08"), ("b", "g", "r", "nir"), "B08 as nir"),
        (("blue", "green", "red", "nir"), ("b", "g", "r", "nir"), ""),
        (("B02", "B03", "B04", "B08"), ("B2", "B3", "B4", "B8"), ""),
        (("VV", "VH", "x", "y"), ("vv", "vh", "X", "Y"), ""),
        (("blue", "green", "red", "nir"), ("1", "2", "3", "4"), ""),
    ],
)
def test_bands_that_only_their_order_tells_are_named(
    make_scene: MakeScene, names: tuple[str, ...] | None, known: tuple[str, ...], unsure: str
) -> None:
    notes = order_notes(inspect_scene(make_scene(IMAGE), bands=names), contract(bands=known))
    assert [note.detail for note in notes] == (
        [f"Bands are taken in the order of the file: {unsure}."] if unsure else []
    )


def test_a_scene_fits_a_contract_for_the_same_bands(make_scene: MakeScene) -> None:
    info = inspect_scene(make_scene(IMAGE), bands=["B", "green", "r", "nir"])
    assert contract_faults(info, contract()) == ()
    assert contract_faults(inspect_scene(make_scene(IMAGE)), contract()) == ()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"bands": ("b", "g", "r")}, "wrong_bands"),
        ({"bands": ("r", "g", "b", "nir")}, "wrong_bands"),
        ({"dtype": "uint8"}, "wrong_dtype"),
        ({"gsd": 6.0}, "bad_resolution"),
        ({"gsd": 16.0}, "bad_resolution"),
    ],
)
def test_each_difference_from_a_contract_is_a_fault(make_scene: MakeScene, changes: dict[str, Any], code: str) -> None:
    info = inspect_scene(make_scene(IMAGE), bands=["b", "g", "r", "nir"])
    (fault,) = contract_faults(info, contract(**changes))
    assert fault.code == code and fault.hint


def test_signed_and_unsigned_16_bit_types_are_compatible_and_so_are_float_types(make_scene: MakeScene) -> None:
    assert contract_faults(inspect_scene(make_scene(IMAGE)), contract(dtype="int16")) == ()
    assert contract_faults(inspect_scene(make_scene(IMAGE.astype("f4"))), contract(dtype="float64")) == ()


def scaled(make_scene: MakeScene, scale: float, offset: float = 0.0, name: str = "scaled.tif") -> SceneInfo:
    path = make_scene(IMAGE, name)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (scale,) * 4, (offset,) * 4
    return inspect_scene(path)


def test_scale_and_offset_are_part_of_a_contract(make_scene: MakeScene) -> None:
    plain, one, other = inspect_scene(make_scene(IMAGE)), scaled(make_scene, 1e-4, -0.1), scaled(make_scene, 2e-4)
    assert contract_of(one).scaling == (Scaling(scale=1e-4, offset=-0.1),) * 4
    assert contract_faults(one, contract_of(one)) == contract_faults(plain, contract_of(plain)) == ()
    assert contract_faults(other, contract_of(one)) == ()  # both are in physical units
    (fault,) = contract_faults(one, contract_of(plain))
    assert fault.code == "scale_mismatch"
    assert "a scale of 0.0001 and an offset of -0.1" in fault.detail and "plain numbers" in fault.detail
    assert "gdal_edit.py -scale 1 -offset 0" in fault.hint
    (fault,) = contract_faults(plain, contract_of(one))
    assert fault.code == "scale_mismatch" and "gdal_edit.py -scale 0.0001 -offset -0.1" in fault.hint


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"dtype": "uint16", "high": 3000.0}, ["scale_mismatch"]),
        ({"dtype": "uint16", "high": 0.3}, []),  # a scale was declared, or the values are not those of the file
        ({"dtype": "uint16", "high": 1.0}, []),
        ({"dtype": "float32", "high": 3000.0}, []),
    ],
)
def test_an_old_contract_says_by_its_statistics_that_integers_were_plain(
    make_scene: MakeScene, changes: dict[str, Any], codes: list[str]
) -> None:
    statistics = BandStatistics(mean=0.1, std=0.1, min=0, max=changes["high"])
    old = contract(dtype=changes["dtype"], statistics=(statistics,) * 4)
    found = scaled(make_scene, 1e-4).model_copy(update={"dtype": changes["dtype"]})
    assert [fault.code for fault in contract_faults(found, old)] == codes


def test_a_scene_of_before_scales_were_recorded_is_not_compared(make_scene: MakeScene) -> None:
    info = scaled(make_scene, 1e-4)
    old = info.model_copy(update={"bands": tuple(b.model_copy(update={"scaling": None}) for b in info.bands)})
    assert contract_of(old).scaling == ()
    assert contract_faults(old, contract_of(inspect_scene(make_scene(IMAGE)))) == ()


@pytest.mark.parametrize("scale", [0.0, math.nan, math.inf])
def test_a_scale_that_is_no_number_is_refused(make_scene: MakeScene, scale: float) -> None:
    path = make_scene(IMAGE)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (scale,) * 4
    assert codes(path) == ["bad_scale"]


def test_values_far_outside_those_of_the_training_are_noted(make_scene: MakeScene) -> None:
    info = inspect_scene(make_scene(IMAGE))
    statistics = tuple(band.statistics for band in info.bands)
    assert radiometry_notes(info, contract(statistics=statistics)) == ()
    dark = statistics[0].model_copy(update={"mean": 3000.0, "max": 9000.0, "std": 100.0})
    (note,) = radiometry_notes(info, contract(statistics=(*statistics[:2], dark, statistics[3])))
    assert note.code == "unlike_training" and note.detail.startswith("Band 3 has a mean of ")
    assert "in training 3000 +- 100" in note.detail and "; " not in note.detail


@pytest.mark.parametrize(("nodata", "noted"), [(20, True), (200, False), (0, False), (77, False)])
def test_nodata_after_scale_is_pointed_out_where_the_number_in_the_file_is_meant(
    make_scene: MakeScene, nodata: int, noted: bool
) -> None:
    image = np.full((1, 64, 64), 90, dtype=np.uint8)
    image[0, :, :20] = 200
    path = make_scene(image, nodata=nodata)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.1,)
    found = [note for note in inspect_scene(path).warnings if note.code == "scaled_nodata"]
    assert [note.hint[-11:] for note in found] == (["nodata=200."] if noted else [])


def test_alpha_is_a_band_if_it_has_a_name(make_scene: MakeScene) -> None:
    image = IMAGE.copy()
    image[3, :20] = 0
    path = make_scene(image, photometric="RGB", alpha="YES")
    info = inspect_scene(path, bands=["blue", "green", "red", "nir"])
    assert [band.name for band in info.bands] == ["blue", "green", "red", "nir"]
    assert info.bands[3].statistics.min == 0
    assert info.warnings[0].code == "alpha_is_band"
    assert contract_faults(info, contract(bands=("blue", "green", "red", "nir"))) == ()


def test_it_is_said_how_alpha_becomes_a_band(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE, photometric="RGB", alpha="YES")
    (note,) = inspect_scene(path).warnings
    assert note.code == "alpha_is_mask"
    assert "gdal_edit.py -colorinterp_4 undefined" in note.hint and "name all 4 bands" in note.hint
    with pytest.raises(InputRefused, match="2 names for 3 bands beside alpha"):
        inspect_scene(path, bands=["blue", "green"])


@pytest.mark.parametrize("dtype", ["int64", "uint64", "complex64"])
def test_the_hint_for_a_type_that_is_not_read_names_one_that_is(make_scene: MakeScene, dtype: str) -> None:
    path = make_scene(IMAGE.astype(dtype))
    with pytest.raises(InputRefused) as refused:
        inspect_scene(path)
    (fault,) = refused.value.faults
    named = re.findall(r"-ot (\w+)", fault.hint)
    assert named == {"int64": ["Int32"], "uint64": ["UInt32"], "complex64": []}[dtype]
    for name in named:
        inspect_scene(make_scene(IMAGE.astype(name.lower())))


def test_alpha_does_not_count_as_near_infrared(make_scene: MakeScene) -> None:
    info = inspect_scene(make_scene(IMAGE, photometric="RGB", alpha="YES"))
    (fault,) = contract_faults(info, contract(bands=("red", "green", "blue", "nir")))
    assert fault.code == "wrong_bands" and "alpha" in fault.detail


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["b", "g", "r", "nir"], (2, 1, 0)),
        (["B04 red", "B03 green", "B02 blue"], (0, 1, 2)),
        (["近红外", "红", "绿", "蓝"], (1, 2, 3)),
        (["B02", "B03", "B04", "B08"], (0, 1, 2)),
        (["nir", "red", "green"], (0, 1, 2)),
        (["red", "blue"], (0,)),
        (["pan"], (0,)),
    ],
)
def test_people_are_shown_red_green_and_blue_where_the_names_say_which_these_are(
    names: list[str], shown: tuple[int, ...]
) -> None:
    assert in_true_colour(names) == shown


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (["1", "2", "3"], "2", 1),
        (["b", "g", "r"], "3", 2),
        (["3", "2", "1"], "3", 0),
        (["NIR", "red"], " nir ", 0),
        (["b", "B"], "B", 1),
        (["Ba", "bA"], "ba", None),
        (["1", "2"], "0", None),
        (["1", "2"], "٢", None),
        (["1", "2"], "", None),
    ],
)
def test_a_band_is_found_by_its_name_and_else_by_its_number(names: list[str], wanted: str, found: int | None) -> None:
    assert find_band(names, wanted) == found
