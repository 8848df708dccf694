import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ml.faults import InputRefused
from ml.scenes.tiff_directories import nodata_text
from ml.scenes.tiff_safety import check_tiff
from tests.ml.conftest import MakeScene

IMAGE = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)


def codes(path: Path) -> list[str]:
    try:
        check_tiff(path)
    except InputRefused as refused:
        return [fault.code for fault in refused.faults]
    return []


def tiff(path: Path, entries: dict[int, tuple[int, int, int]], following: int = 0, tail: bytes = b"") -> Path:
    """Write a little-endian TIFF with one directory of (type, count, value) by tag, followed by `tail`."""
    body = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + struct.pack("<I", following) + tail)
    return path


def image(**changes: tuple[int, int, int]) -> dict[int, tuple[int, int, int]]:
    """Return a directory for a 4 x 4 image of bytes in one strip at byte 8, with changes named t<tag>."""
    entries = {256: (4, 1, 4), 257: (4, 1, 4), 258: (3, 1, 8), 273: (4, 1, 8), 278: (4, 1, 4), 279: (4, 1, 16)}
    return entries | {int(name[1:]): entry for name, entry in changes.items()}


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "packbits", "zstd", "lerc", "lzma"])
@pytest.mark.parametrize("more", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"BIGTIFF": "YES"}])
def test_files_written_by_gdal_are_accepted(make_scene: MakeScene, compress: str, more: dict[str, object]) -> None:
    assert codes(make_scene(IMAGE, compress=compress, **more)) == []


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_real_types_of_every_width_are_accepted(make_scene: MakeScene, dtype: str) -> None:
    assert codes(make_scene(IMAGE.astype(dtype), interleave="band", ENDIANNESS="BIG")) == []


@pytest.mark.parametrize("dtype", ["complex64", "uint64", "int64"])
def test_complex_types_and_64_bit_integers_are_refused(make_scene: MakeScene, dtype: str) -> None:
    assert codes(make_scene(IMAGE.astype(dtype))) == ["unsupported_dtype"]


def test_overviews_and_masks_do_not_count_as_images(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.full((40, 50), 255, dtype=np.uint8))
        dataset.build_overviews([2, 4])
    assert codes(path) == []


@pytest.mark.parametrize("kept", [0, 3, 4, 7, 8, 100, 5000, -1])
def test_a_truncated_file_is_refused(make_scene: MakeScene, kept: int) -> None:
    path = make_scene(IMAGE)
    path.write_bytes(path.read_bytes()[:kept])
    assert codes(path) in (["corrupt_tiff"], ["not_a_tiff"])


@pytest.mark.parametrize("text", [b"", b"<html>", b"PK\3\4", b"GIF89a", b"<VRTDataset/>", b"II\x29\0"])
def test_files_of_other_formats_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(text)
    assert codes(path) == ["not_a_tiff"]


def test_a_minimal_image_is_accepted(tmp_path: Path) -> None:
    assert codes(tiff(tmp_path / "x.tif", image())) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"t256": (4, 1, 0)}, "corrupt_tiff"),
        ({"t278": (4, 1, 0)}, "corrupt_tiff"),
        ({"t273": (4, 1, 2**32 - 1)}, "corrupt_tiff"),
        ({"t279": (4, 1, 2**32 - 1)}, "corrupt_tiff"),
        ({"t279": (4, 2**30, 8)}, "corrupt_tiff"),
        ({"t279": (99, 1, 8)}, "corrupt_tiff"),
        ({"t317": (3, 1, 77)}, "corrupt_tiff"),
        ({"t258": (3, 1, 33)}, "unsupported_dtype"),
        ({"t259": (3, 1, 50002)}, "unsupported_compression"),
        ({"t277": (3, 1, 60000)}, "too_many_bands"),
        ({"t256": (4, 1, 2**31)}, "too_many_pixels"),
        ({"t322": (4, 1, 65520), "t323": (4, 1, 65520)}, "block_too_large"),
        ({"t50844": (12, 1, 8)}, "rpc_unsupported"),
    ],
)
def test_a_bad_directory_is_refused_with_its_code(
    tmp_path: Path, changes: dict[str, tuple[int, int, int]], code: str
) -> None:
    assert code in codes(tiff(tmp_path / "x.tif", image(**changes)))


def test_a_cyclic_chain_of_directories_is_refused(tmp_path: Path) -> None:
    assert codes(tiff(tmp_path / "x.tif", image(), following=8)) == ["corrupt_tiff"]


def test_two_images_in_one_file_are_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", image(), following=8 + 2 + 6 * 12 + 4)
    path.write_bytes(path.read_bytes() + path.read_bytes()[8:-4] + bytes(4))
    assert codes(path) == ["multi_page"]


@pytest.mark.parametrize("name", ["OVERVIEW_FILE", "overview_file", "OVERVIEW&#95;FILE", "X_DATASET"])
def test_metadata_that_refer_to_another_file_are_refused(tmp_path: Path, name: str) -> None:
    xml = f'<GDALMetadata><Item name="{name}" domain="OVERVIEWS">/etc/passwd</Item></GDALMetadata>'.encode()
    at = 8 + 2 + 7 * 12 + 4
    path = tiff(tmp_path / "x.tif", image(t42112=(2, len(xml), at)), tail=xml)
    assert codes(path) == ["external_reference"]


def test_blocks_of_a_large_image_that_share_bytes_are_refused(tmp_path: Path) -> None:
    blocks = 40_000
    at = 8 + 2 + 7 * 12 + 4
    tail = np.full(blocks, 8, "<u4").tobytes() + np.full(blocks, 16, "<u4").tobytes()
    tiles = {"t322": (4, 1, 256), "t323": (4, 1, 256), "t324": (4, blocks, at), "t325": (4, blocks, at + 4 * blocks)}
    entries = image(t256=(4, 1, 256 * 200), t257=(4, 1, 256 * 200), **tiles)
    entries = {tag: entry for tag, entry in entries.items() if tag not in (273, 278, 279)}
    assert codes(tiff(tmp_path / "x.tif", entries, tail=tail)) == ["overlapping_blocks"]


def test_the_text_of_nodata_is_read_unchanged(make_scene: MakeScene) -> None:
    assert float(nodata_text(make_scene(IMAGE, nodata=7))) == 7
    assert nodata_text(make_scene(IMAGE)) == ""
