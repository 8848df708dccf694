"""GeoTIFFs whose keys say two things of the CRS, written byte by byte: GDAL would write one only."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from ml.faults import InputRefused
from ml.labels.classes import LabelOptions
from ml.labels.inspect import inspect_labels
from ml.scenes.inspect import SceneInfo, inspect_scene

UTM_49 = {1024: 1, 1025: 1, 3072: 32649}
DEGREES = {1024: 2, 1025: 1, 2048: 4326}
METRES = (10.0, 500_000.0, 1_200_000.0)  # side of a pixel, left and top


def geotiff(path: Path, keys: Mapping[int, float], place: tuple[float, float, float] = METRES) -> Path:
    """Write an image of 64 x 64 px of bytes with values 0 and 1, and some GeoTIFF keys. Fractions are doubles."""
    doubles = [value for value in keys.values() if isinstance(value, float)]
    entries = [
        (key, 34736, 1, doubles.index(value)) if isinstance(value, float) else (key, 0, 1, value)
        for key, value in sorted(keys.items())
    ]
    side, left, top = place
    pixels = bytes(number % 2 for number in range(64 * 64))
    tags: list[tuple[int, int, bytes]] = [
        *((tag, 3, struct.pack("<H", value)) for tag, value in ((256, 64), (257, 64), (258, 8), (259, 1), (262, 1))),
        (273, 4, struct.pack("<I", 0)),
        (277, 3, struct.pack("<H", 1)),
        (278, 3, struct.pack("<H", 64)),
        (279, 4, struct.pack("<I", len(pixels))),
        (33550, 12, struct.pack("<3d", side, side, 0)),
        (33922, 12, struct.pack("<6d", 0, 0, 0, left, top, 0)),
        (34735, 3, struct.pack("<4H", 1, 1, 0, len(entries)) + b"".join(struct.pack("<4H", *each) for each in entries)),
        (34736, 12, struct.pack(f"<{len(doubles) or 1}d", *(doubles or [0.0]))),
    ]
    at, head, body = 8 + 2 + 12 * len(tags) + 4, b"", b""
    values = at + sum(len(value) for _, _, value in tags if len(value) > 4)
    for tag, kind, value in tags:
        count = len(value) // {3: 2, 4: 4, 12: 8}[kind]
        inside = struct.pack("<I", values) if tag == 273 else value.ljust(4, b"\0")
        head += struct.pack("<HHI", tag, kind, count)
        head += inside if len(value) <= 4 else struct.pack("<I", at + len(body))
        body += value if len(value) > 4 else b""
    start = b"II*\0" + struct.pack("<IH", 8, len(tags))
    path.write_bytes(start + head + bytes(4) + body + pixels)
    return path


def scene(tmp_path: Path, keys: Mapping[int, float], place: tuple[float, float, float] = METRES) -> SceneInfo:
    return inspect_scene(geotiff(tmp_path / "x.tif", keys, place))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {2048: 4326},
        {3074: 16049},
        {3074: 16049, 3075: 1, 3080: 111.0, 3081: 0.0, 3082: 500_000.0, 3083: 0.5 - 0.5, 3092: 0.9996},
        {2050: 6326, 2056: 7030, 2051: 8901},
        {3076: 9001, 2054: 9102},
    ],
)
def test_keys_that_say_the_same_twice_are_accepted(tmp_path: Path, more: dict[int, float]) -> None:
    info = scene(tmp_path, UTM_49 | more)
    assert info.crs_code == "EPSG:32649" and not {"other_unit", "other_datum"} & {note.code for note in info.warnings}


@pytest.mark.parametrize(
    "more",
    [
        {3075: 1, 3080: 105.0, 3081: 0.0, 3082: 500_000.0, 3083: 0.0, 3092: 0.9996},
        {3080: 105.0},
        {3082: 18_500_000.0},
        {3074: 16048},
        {2048: 4610},
        {2050: 6610},
        {2056: 7024},
        {2051: 8903},
    ],
)
def test_keys_that_contradict_the_code_of_the_crs_are_refused(tmp_path: Path, more: dict[int, float]) -> None:
    for read in (inspect_scene, lambda path: inspect_labels(path, LabelOptions())):
        with pytest.raises(InputRefused) as refused:
            read(geotiff(tmp_path / "x.tif", UTM_49 | more))
        assert [fault.code for fault in refused.value.faults] == ["contradictory_crs"]
        assert "'WGS 84 / UTM zone 49N'" in refused.value.faults[0].detail


@pytest.mark.parametrize("more", [{2050: 6610}, {2056: 7024}, {2051: 8903}, {3072: 32649}])
def test_keys_that_contradict_the_code_of_a_crs_in_degrees_are_refused(tmp_path: Path, more: dict[int, float]) -> None:
    with pytest.raises(InputRefused, match="contradicts itself"):
        scene(tmp_path, DEGREES | more, (0.0001, 111.0, 10.0))


def test_another_unit_than_that_of_the_code_is_noted(tmp_path: Path) -> None:
    info = scene(tmp_path, UTM_49 | {3076: 9003}, (33.0, 1_640_000.0, 3_937_000.0))
    (note,) = [note for note in info.warnings if note.code == "other_unit"]
    assert "metre" in note.detail and "US survey foot" in note.detail and info.gsd == pytest.approx(10.06, abs=0.01)
